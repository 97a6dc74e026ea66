/* The load client of tests/bench: load MODE --port N [options]; one JSON line on standard output, or exit 1. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load.h"

Options options = {
    .host = "127.0.0.1", .path = "/echo", .connections = 100, .in_flight = 1, .size = 64,
    .concurrency = 64, .sources = 16, .seconds = 2, .warmup = 0.5,
};

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {{"echo", run_echo}, {"fan", run_fan}, {"handshakes", run_handshakes}, {"hold", run_hold}};

static const struct option flags[] = {
    {"host", 1, NULL, 'h'},        {"port", 1, NULL, 'p'},    {"path", 1, NULL, 'P'},
    {"connections", 1, NULL, 'n'}, {"in-flight", 1, NULL, 'k'}, {"size", 1, NULL, 's'},
    {"concurrency", 1, NULL, 'c'}, {"sources", 1, NULL, 'S'}, {"seconds", 1, NULL, 't'},
    {"warmup", 1, NULL, 'w'},      {"rate", 1, NULL, 'r'},    {"server-pid", 1, NULL, 'u'},
    {"token", 1, NULL, 'a'},       {"deflate", 0, NULL, 'd'}, {"json", 0, NULL, 'j'},
    {NULL, 0, NULL, 0},
};

static double number(const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < least || value > most) fail("%s is not a number from %g to %g", text, least, most);
    return value;
}

static void parse(int count, char **arguments) {
    int flag;
    while ((flag = getopt_long(count, arguments, "", flags, NULL)) != -1) {
        switch (flag) {
            case 'h': options.host = optarg; break;
            case 'p': options.port = (int)number(optarg, 1, 65535); break;
            case 'P': options.path = optarg; break;
            case 'n': options.connections = (uint32_t)number(optarg, 1, 1000000); break;
            case 'k': options.in_flight = (uint32_t)number(optarg, 1, 65536); break;
            case 's': options.size = (uint32_t)number(optarg, 17, BUFFER_BYTES / 2); break;
            case 'c': options.concurrency = (uint32_t)number(optarg, 1, 100000); break;
            case 'S': options.sources = (uint32_t)number(optarg, 0, 250); break;
            case 't': options.seconds = number(optarg, 0.001, 86400); break;
            case 'w': options.warmup = number(optarg, 0, 86400); break;
            case 'r': options.rate = number(optarg, 0, 1e9); break;
            case 'a': options.token = optarg; break;
            case 'd': options.deflate = 1; break;
            case 'j': options.json = 1; break;
            case 'u':
                if (options.pid_count == MAX_PIDS) fail("more than %d processes", MAX_PIDS);
                options.pids[options.pid_count++] = (int)number(optarg, 1, 1 << 30);
                break;
            default: exit(2);
        }
    }
    if (!options.port) fail("--port is missing");
    if (options.json && options.size < 64) fail("a JSON message has at least 64 bytes, not %u", options.size);
}

int main(int count, char **arguments) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    parse(count, arguments);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (optind == count - 1 && !strcmp(arguments[optind], modes[i].name)) {
            modes[i].run();
            return 0;
        }
    }
    fail("the mode is one of echo, fan, handshakes, hold");
}
