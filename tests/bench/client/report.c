/* Clocks, the latency histogram, and the one line of JSON that a run prints. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

/* 32 buckets to each power of two: a bucket is 3 percent wide at most. */
#define STEPS 32
static uint64_t buckets[60 * STEPS], largest, frames, frame_bytes;
static int measuring;
static double began, seconds, cpu_began, cpu_seconds, own_began, own_seconds;

uint64_t clock_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* xorshift32: masking keys need variety here, not secrecy. */
uint32_t random32(void) {
    static uint32_t state;
    if (!state) state = (uint32_t)clock_ns() | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static double seconds_of(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) fail("a process of the server has gone");
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The CPU clock of another process counts user and system time of all its threads in nanoseconds;
   /proc/<pid>/stat would give the same in steps of 10 ms. */
double server_cpu_seconds(void) {
    double sum = 0;
    for (int i = 0; i < options.pid_count; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(options.pids[i], &clock)) fail("no process %d to read the CPU time of", options.pids[i]);
        sum += seconds_of(clock);
    }
    return sum;
}

void latency_add(uint64_t ns) {
    if (!measuring) return;
    int power = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - 4;
    size_t bucket = power ? (size_t)power * STEPS + (ns >> (power - 1)) - STEPS : (size_t)ns;
    if (bucket >= sizeof buckets / sizeof *buckets) fail("a latency of %llu ns", (unsigned long long)ns);
    buckets[bucket]++;
    if (ns > largest) largest = ns;
}

/* The bytes on the wire of a frame that brought a message, its head included. */
void wire_add(size_t bytes) {
    if (!measuring) return;
    frames++;
    frame_bytes += bytes;
}

static double percentile_us(double share) {
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++) total += buckets[i];
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++) {
        seen += buckets[i];
        if (seen && (double)seen >= share * (double)total) {
            size_t power = i / STEPS, step = i % STEPS;
            return (double)(power ? (STEPS + step) << (power - 1) : step) / 1e3;
        }
    }
    return 0;
}

void window_begin(void) {
    measuring = 1;
    began = seconds_of(CLOCK_MONOTONIC);
    cpu_began = server_cpu_seconds();
    own_began = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

void window_end(void) {
    measuring = 0;
    seconds = seconds_of(CLOCK_MONOTONIC) - began;
    cpu_seconds = server_cpu_seconds() - cpu_began;
    own_seconds = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - own_began;
}

void report(const char *mode, uint64_t count) {
    if (!count) fail("nothing came back within %.1f seconds", seconds);
    printf("{\"mode\": \"%s\", \"path\": \"%s\", \"connections\": %u, \"in_flight\": %u, \"size\": %u, \"rate\": %.1f, "
           "\"count\": %llu, \"frame_bytes\": %.1f, \"seconds\": %.6f, \"server_cpu_seconds\": %.6f, \"client_cpu_seconds\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           mode, options.path, options.connections, options.in_flight, options.size, options.rate,
           (unsigned long long)count, frames ? (double)frame_bytes / (double)frames : 0, seconds, cpu_seconds, own_seconds, percentile_us(0.5), percentile_us(0.99),
           percentile_us(0.999), (double)largest / 1e3);
}

void fail(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fputs("load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}
