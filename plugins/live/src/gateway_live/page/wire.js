/** What each way costs on the wire, as near as a browser lets a page see it. */

const encoder = new TextEncoder();

/** The size of a text in UTF-8, in bytes. */
export function utf8Bytes(text) {
  return encoder.encode(text).length;
}

/** The size of one WebSocket frame in bytes (RFC 6455 section 5.2); a client masks, a server does not. */
export function frameBytes(payloadBytes, { masked = false } = {}) {
  const length = payloadBytes < 126 ? 0 : payloadBytes < 65536 ? 2 : 8;
  return 2 + length + (masked ? 4 : 0) + payloadBytes;
}

/** The size of a header block in bytes: its first line, its fields, the empty line. */
export function headBytes(firstLine, fields) {
  let bytes = utf8Bytes(firstLine) + 2;
  for (const [name, value] of fields) bytes += utf8Bytes(name) + 2 + utf8Bytes(value) + 2;
  return bytes + 2;
}

/** Estimate the header of a request that this browser makes to its own origin. */
function requestHeadBytes(url, fields) {
  const { host, pathname, search } = new URL(url);
  const languages = navigator.languages ?? [navigator.language];
  const common = [
    ["Host", host],
    ["User-Agent", navigator.userAgent],
    ["Accept-Language", languages.map((name, i) => (i ? `${name};q=${1 - i / 10}` : name)).join(",")],
    ["Accept-Encoding", isSecureContext ? "gzip, deflate, br, zstd" : "gzip, deflate"],
  ];
  if (document.cookie) common.push(["Cookie", document.cookie]);
  return headBytes(`GET ${pathname}${search} HTTP/1.1`, [...common, ...fields]);
}

/** The client hints that Chromium sends with a fetch, and other browsers do not. */
function clientHints() {
  const data = navigator.userAgentData;
  if (!data || !isSecureContext) return [];
  return [
    ["sec-ch-ua", data.brands.map(({ brand, version }) => `"${brand}";v="${version}"`).join(", ")],
    ["sec-ch-ua-mobile", data.mobile ? "?1" : "?0"],
    ["sec-ch-ua-platform", `"${data.platform}"`],
  ];
}

/** Estimate the header of a polling request, in bytes. */
export function pollRequestBytes(url) {
  return requestHeadBytes(url, [
    ["Connection", "keep-alive"],
    ["Accept", "*/*"],
    ["Sec-Fetch-Site", "same-origin"],
    ["Sec-Fetch-Mode", "cors"],
    ["Sec-Fetch-Dest", "empty"],
    ...clientHints(),
  ]);
}

/**
 * Size up an answer to a poll, in bytes: its header as received, and its body as the resource timing tells it.
 *
 * `transferSize` itself would be coarser: the specification has browsers put a flat 300 bytes for every header.
 */
export function pollAnswerBytes(response, body, timing) {
  const head = headBytes(`HTTP/1.1 ${response.status} ${response.statusText}`, response.headers);
  return head + (timing?.encodedBodySize || body.byteLength);
}

/** Estimate an opening handshake, both ways, in bytes (RFC 6455 section 1.3). */
export function handshakeBytes(socket) {
  const url = socket.url.replace(/^ws/, "http");
  const asked = requestHeadBytes(url, [
    ["Connection", "Upgrade"],
    ["Pragma", "no-cache"],
    ["Cache-Control", "no-cache"],
    ["Upgrade", "websocket"],
    ["Origin", location.origin],
    ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "x".repeat(24)],
    ["Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"],
  ]);
  const answered = headBytes("HTTP/1.1 101 Switching Protocols", [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Accept", "x".repeat(28)],
    ...(socket.extensions ? [["Sec-WebSocket-Extensions", socket.extensions]] : []),
    ...(socket.protocol ? [["Sec-WebSocket-Protocol", socket.protocol]] : []),
  ]);
  return asked + answered;
}
