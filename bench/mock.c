/*
 * The benchmark's upstream: answers as the widget API does, and as OpenAI's chat completions do, from one thread.
 *
 *   mock [cert=FILE key=FILE]
 *
 * It listens on 127.0.0.1, on a port that the system chooses, with cert= also on a second one that speaks TLS, and prints
 * {"port": …, "tls_port": …}. It runs until it is killed.
 *
 * A request's body steers its answer with words in double brackets, anywhere in the prompt:
 *
 *   [[chunks=50 pause_ms=20 bytes=1024 first_ms=500]]
 *
 * = 50 chunks of about 1,024 bytes each, 20 ms apart (0: as fast as they are taken), the first after 500 ms. The text of
 * each chunk begins with @T=<CLOCK_MONOTONIC in ns, 19 digits>; so that who receives it knows how long it was on its way.
 * The chunks are made once and copied from then on; only the stamp is written anew.
 *
 *   [[call=1 …]]
 *
 * = each chunk's text is one call of the tool write_note, as a model writes it that was told how: after the mark that the
 * prompt gives it (⟦call 1f3a9c2e⟧), or after one of its own. Such chunks are made one by one.
 *
 *   GET  …getoxsrf…              the key that a bearer token is signed with
 *   POST …widgetCreateSession    a session's name
 *   POST …widgetDeleteSession    {}
 *   POST …widgetAddContextFile   the id of the file that has come up
 *   POST …widgetStreamAssist     a JSON array, pretty-printed as Google does; with alt=sse: server-sent events
 *   POST …chat/completions       OpenAI's chunks as server-sent events
 *   GET  /stats                  counts
 *   GET  /control_delay_ms/150   from now on the first three answer so much later
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define MILLISECOND 1000000ull
#define SECOND 1000000000ull
#define STAMP_DIGITS 19
#define BATCH_BYTES (64 * 1024)    /* chunks without a pause are put together up to here before they are sent */
#define HELD_BYTES (256 * 1024)    /* a paced stream pauses while its reader has so much to take */
#define MAX_CHUNK_BYTES (64 * 1024)
#define MAX_REQUEST_BYTES (8 * 1024 * 1024)
#define MAX_TEMPLATES 96
#define MARK "\xe2\x9f\xa6" "call "
#define MARK_END "\xe2\x9f\xa7"

typedef unsigned long long u64;

enum format { ARRAY, EVENTS, OPENAI };
enum place { FIRST = 1, LAST = 2 }; /* where in its stream a chunk stands; both for the only one */

/* One chunk with its HTTP chunk framing, ready but for the stamp. */
struct template {
    enum format format;
    int place;
    int bytes;
    char *text;
    size_t length;
    size_t stamp_at;
};

struct connection {
    int fd;
#ifdef WITH_TLS
    void *tls;
#endif
    char *in;
    size_t in_length, in_capacity;
    char *out;
    size_t out_length, out_sent, out_capacity;
    bool wants_out;
    bool streaming;
    enum format format;
    long chunks, chunks_sent;
    long pause_ms;
    int bytes;
    char call[32]; /* what stands behind "call" in the mark of the tool call that is the answer; empty: plain text is */
    const char *delayed; /* a control call's body that is still to be sent */
    char session[160];
    u64 due;
    int heap_at; /* -1: no timer runs */
};

static struct {
    u64 connections, requests, streams, chunks, tokens, sessions_made, sessions_deleted, files;
    long open_streams;
} counts;

static int epoll_fd, timer_fd;
static u64 timer_set_to;
static int listening, listening_tls = -1;
static long control_delay_ms;
static struct template templates[MAX_TEMPLATES];
static int templates_used;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void *grown(void *memory, size_t bytes) {
    void *result = realloc(memory, bytes);
    if (!result) fail("memory");
    return result;
}

static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * SECOND + (u64)t.tv_nsec;
}

/* --- timers: a binary heap of connections by `due`, and one timerfd for the earliest --- */

static struct connection **heap;
static int heap_length, heap_capacity;

static void heap_put(int at, struct connection *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void heap_settle(int at) {
    struct connection *moving = heap[at];
    for (int parent; at > 0 && heap[parent = (at - 1) / 2]->due > moving->due; at = parent) heap_put(at, heap[parent]);
    for (int child; (child = 2 * at + 1) < heap_length; at = child) {
        if (child + 1 < heap_length && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= moving->due) break;
        heap_put(at, heap[child]);
    }
    heap_put(at, moving);
}

static void timer_start(struct connection *c, u64 due) {
    if (heap_length == heap_capacity) {
        heap_capacity = heap_capacity ? 2 * heap_capacity : 1024;
        heap = grown(heap, (size_t)heap_capacity * sizeof *heap);
    }
    c->due = due;
    heap_put(heap_length++, c);
    heap_settle(c->heap_at);
}

static void timer_stop(struct connection *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    struct connection *last = heap[--heap_length];
    if (at == heap_length) return;
    heap_put(at, last);
    heap_settle(at);
}

/* Have epoll wake up for the earliest timer. */
static void timer_arm(void) {
    if (!heap_length || heap[0]->due == timer_set_to) return;
    timer_set_to = heap[0]->due;
    struct itimerspec when = {.it_value = {(time_t)(timer_set_to / SECOND), (long)(timer_set_to % SECOND)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* --- bytes in and out, plain or TLS --- */

enum { CLOSED = 0, WOULD_BLOCK = -1 };

#ifdef WITH_TLS
static ssize_t tls_result(struct connection *c, int result) {
    if (result > 0) return result;
    int error = SSL_get_error(c->tls, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WOULD_BLOCK : CLOSED;
}
#endif

static ssize_t receive(struct connection *c, char *to, size_t room) {
#ifdef WITH_TLS
    if (c->tls) return tls_result(c, SSL_read(c->tls, to, (int)room));
#endif
    ssize_t got = recv(c->fd, to, room, 0);
    if (got > 0) return got;
    return got < 0 && errno == EAGAIN ? WOULD_BLOCK : CLOSED;
}

static ssize_t transmit(struct connection *c, const char *from, size_t length) {
#ifdef WITH_TLS
    if (c->tls) return tls_result(c, SSL_write(c->tls, from, (int)length));
#endif
    ssize_t sent = send(c->fd, from, length, MSG_NOSIGNAL);
    if (sent > 0) return sent;
    return sent < 0 && errno == EAGAIN ? WOULD_BLOCK : CLOSED;
}

static char *out_room(struct connection *c, size_t more) {
    if (c->out_length + more > c->out_capacity) {
        c->out_capacity = 2 * (c->out_length + more);
        c->out = grown(c->out, c->out_capacity);
    }
    return c->out + c->out_length;
}

static void put(struct connection *c, const char *text, size_t length) {
    memcpy(out_room(c, length), text, length);
    c->out_length += length;
}

static void watch(struct connection *c, bool wants_out) {
    if (c->wants_out == wants_out) return;
    c->wants_out = wants_out;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (wants_out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

/* Send what waits. False when the connection has broken. */
static bool flush(struct connection *c) {
    while (c->out_sent < c->out_length) {
        ssize_t sent = transmit(c, c->out + c->out_sent, c->out_length - c->out_sent);
        if (sent == CLOSED) return false;
        if (sent == WOULD_BLOCK) {
            watch(c, true);
            return true;
        }
        c->out_sent += (size_t)sent;
    }
    c->out_sent = c->out_length = 0;
    watch(c, false);
    return true;
}

/* --- chunks --- */

/* Text as JSON strings hold it, of at most `room` bytes: plain words, other scripts, escapes. */
static size_t fill(char *to, size_t room) {
    static const char *words[] = {"The quick brown fox ",   "jumps over the lazy dog, ", "\xe4\xb8\x96\xe7\x95\x8c ",
                                  "and then it goes on ",   "with more plain words ",    "\xc3\xa9t\xc3\xa9 ",
                                  "as most answers do.\\n", "It \\\"quotes\\\" once, ",  "\xf0\x9f\x9a\x80 ",
                                  "and nobody minds. "};
    size_t length = 0;
    for (size_t i = 0;; i++) {
        const char *word = words[i % (sizeof words / sizeof *words)];
        if (length + strlen(word) > room) break;
        memcpy(to + length, word, strlen(word));
        length += strlen(word);
    }
    while (length < room) to[length++] = '.';
    return length;
}

/* What stands before and behind the text of a chunk. */
static void surround(enum format format, int place, char *before, char *behind) {
    bool first = place & FIRST, last = place & LAST;
    const char *state = last ? "SUCCEEDED" : "IN_PROGRESS";
    switch (format) {
    case ARRAY:
        sprintf(before,
                "%s{\n  \"uToken\": \"tok-0123456789abcdef0123456789abcdef\",\n  \"streamAssistResponse\": {\n"
                "    \"answer\": {\n      \"name\": \"projects/123456789/locations/global/collections/default_collection/"
                "engines/agentspace-engine/sessions/1234567890/assistAnswers/9876543210\",\n      \"state\": \"%s\",\n"
                "      \"replies\": [\n        {\n          \"groundedContent\": {\n            \"content\": {\n"
                "              \"role\": \"model\",\n              \"text\": \"",
                first ? "[" : ",\r\n", state);
        sprintf(behind,
                "\"\n            }\n          }\n        }\n      ]\n    },\n    \"assistToken\": \"NMwKDAj1vO\"\n  }\n}\n%s",
                last ? "]" : "");
        break;
    case EVENTS:
        sprintf(before,
                "data: {\"uToken\":\"tok-0123456789abcdef0123456789abcdef\",\"streamAssistResponse\":{\"answer\":{"
                "\"name\":\"projects/123456789/locations/global/collections/default_collection/engines/agentspace-engine/"
                "sessions/1234567890/assistAnswers/9876543210\",\"state\":\"%s\",\"replies\":[{\"groundedContent\":{"
                "\"content\":{\"role\":\"model\",\"text\":\"",
                state);
        sprintf(behind, "\"}}}]},\"assistToken\":\"NMwKDAj1vO\"}}\r\n\r\n");
        break;
    case OPENAI:
    default:
        sprintf(before,
                "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                "\"model\":\"mock\",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\"",
                first ? "\"role\":\"assistant\"," : "");
        sprintf(behind, "\"},\"finish_reason\":%s}]}\n\n%s", last ? "\"stop\"" : "null", last ? "data: [DONE]\n\n" : "");
        break;
    }
}

static void make_template(struct template *t, enum format format, int place, int bytes) {
    char before[1024], behind[512];
    surround(format, place, before, behind);
    size_t stamp = sizeof "@T=;" - 1 + STAMP_DIGITS;
    size_t frame = strlen(before) + strlen(behind) + stamp;
    size_t text = (size_t)bytes > frame + 16 ? (size_t)bytes - frame : 16;
    t->format = format;
    t->place = place;
    t->bytes = bytes;
    t->text = grown(NULL, frame + text + 64);
    size_t at = (size_t)sprintf(t->text, "%zx\r\n%s@T=", frame + text, before);
    t->stamp_at = at;
    at += STAMP_DIGITS;
    t->text[at++] = ';';
    at += fill(t->text + at, text);
    at += (size_t)sprintf(t->text + at, "%s\r\n%s", behind, place & LAST ? "0\r\n\r\n" : "");
    t->length = at;
}

static const struct template *template_for(enum format format, int place, int bytes) {
    for (int i = 0; i < templates_used; i++)
        if (templates[i].format == format && templates[i].place == place && templates[i].bytes == bytes) return &templates[i];
    if (templates_used == MAX_TEMPLATES) {
        fprintf(stderr, "mock: too many different sizes of chunks\n");
        exit(1);
    }
    make_template(&templates[templates_used], format, place, bytes);
    return &templates[templates_used++];
}

static void write_stamp(char *to) {
    u64 rest = now_ns();
    for (int i = STAMP_DIGITS; i-- > 0; rest /= 10) to[i] = (char)('0' + rest % 10);
}

static void put_text(struct connection *c, int place) {
    const struct template *t = template_for(c->format, place, c->bytes);
    char *to = out_room(c, t->length);
    memcpy(to, t->text, t->length);
    write_stamp(to + t->stamp_at);
    c->out_length += t->length;
}

/* A chunk whose text is a tool call; its stamp and its length are those of the call's one argument. */
static void put_call(struct connection *c, int place) {
    static const char words[] = "The quick brown fox jumps over the lazy dog, and then it goes on. ";
    char before[1024], behind[512], opening[256], stamp[STAMP_DIGITS + 1] = "";
    static char filling[MAX_CHUNK_BYTES];
    static const char closing[] = "\\\"}}\\n```";
    surround(c->format, place, before, behind);
    sprintf(opening, MARK "%s" MARK_END "\\n```json\\n{\\\"name\\\":\\\"write_note\\\",\\\"arguments\\\":{\\\"text\\\":\\\"", c->call);
    write_stamp(stamp);
    size_t frame = strlen(before) + strlen(opening) + sizeof "@T=;" - 1 + STAMP_DIGITS + strlen(closing) + strlen(behind);
    size_t text = (size_t)c->bytes > frame + 16 ? (size_t)c->bytes - frame : 16;
    for (size_t i = 0; i < text; i++) filling[i] = words[i % (sizeof words - 1)];
    c->out_length += (size_t)sprintf(out_room(c, frame + text + 64), "%zx\r\n%s%s@T=%s;%.*s%s%s\r\n%s", frame + text, before,
                                     opening, stamp, (int)text, filling, closing, behind, place & LAST ? "0\r\n\r\n" : "");
}

static void emit_chunk(struct connection *c) {
    int place = (c->chunks_sent == 0 ? FIRST : 0) | (c->chunks_sent == c->chunks - 1 ? LAST : 0);
    if (c->call[0])
        put_call(c, place);
    else
        put_text(c, place);
    c->chunks_sent++;
    counts.chunks++;
    if (place & LAST) {
        c->streaming = false;
        counts.open_streams--;
    }
}

/* --- requests --- */

static void answer_json(struct connection *c, const char *body) {
    char head[160];
    int length = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    put(c, head, (size_t)length);
    put(c, body, strlen(body));
}

/* Answer now, or `control_delay_ms` later. `body` must stay as it is until then. */
static void answer_control(struct connection *c, const char *body) {
    if (!control_delay_ms) {
        answer_json(c, body);
        return;
    }
    c->delayed = body;
    timer_start(c, now_ns() + (u64)control_delay_ms * MILLISECOND);
}

static long word(const char *words, const char *name, long otherwise) {
    const char *end = words ? strstr(words, "]]") : NULL;
    const char *found = words ? strstr(words, name) : NULL;
    return found && end && found < end ? strtol(found + strlen(name), NULL, 10) : otherwise;
}

static long clamp(long value, long least, long most) {
    return value < least ? least : value > most ? most : value;
}

/* What the prompt's first mark of a tool call says; "0" without one. */
static void read_mark(struct connection *c, const char *body) {
    const char *mark = strstr(body, MARK), *end = mark ? strstr(mark, MARK_END) : NULL;
    size_t length = end ? (size_t)(end - mark) - strlen(MARK) : 0;
    if (!length || length >= sizeof c->call) {
        strcpy(c->call, "0");
        return;
    }
    memcpy(c->call, mark + strlen(MARK), length);
    c->call[length] = 0;
}

static void start_stream(struct connection *c, enum format format, const char *body) {
    const char *words = strstr(body, "[[");
    c->format = format;
    c->chunks = clamp(word(words, "chunks=", 1), 1, 1000000);
    c->pause_ms = clamp(word(words, "pause_ms=", 0), 0, 60000);
    c->bytes = (int)clamp(word(words, "bytes=", 1024), 1, MAX_CHUNK_BYTES);
    c->chunks_sent = 0;
    c->call[0] = 0;
    if (word(words, "call=", 0)) read_mark(c, body);
    c->streaming = true;
    counts.streams++;
    counts.open_streams++;
    char head[256];
    int length = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: %s; charset=UTF-8\r\nVary: Origin, X-Origin, Referer\r\n"
                               "Server: mock\r\nTransfer-Encoding: chunked\r\n\r\n",
                         format == ARRAY ? "application/json" : "text/event-stream");
    put(c, head, (size_t)length);
    long first_ms = clamp(word(words, "first_ms=", 0), 0, 60000);
    if (first_ms || c->pause_ms) timer_start(c, now_ns() + (u64)first_ms * MILLISECOND);
}

static void handle(struct connection *c, const char *line, const char *body) {
    static u64 session = 18399586466940005660ull;
    counts.requests++;
    if (strstr(line, "widgetStreamAssist")) {
        start_stream(c, strstr(line, "alt=sse") ? EVENTS : ARRAY, body);
    } else if (strstr(line, "chat/completions")) {
        start_stream(c, OPENAI, body);
    } else if (strstr(line, "getoxsrf")) {
        counts.tokens++;
        answer_control(c, ")]}'\n{\"xsrfToken\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"keyId\":\"bench-key\"}");
    } else if (strstr(line, "widgetCreateSession")) {
        counts.sessions_made++;
        sprintf(c->session, "{\"session\":{\"name\":\"collections/default_collection/engines/agentspace-engine/sessions/%llu\"}}",
                session++);
        answer_control(c, c->session);
    } else if (strstr(line, "widgetDeleteSession")) {
        counts.sessions_deleted++;
        answer_control(c, "{}");
    } else if (strstr(line, "widgetAddContextFile")) {
        counts.files++;
        answer_json(c, "{\"addContextFileResponse\":{\"fileId\":\"5629499534213120\",\"tokenCount\":\"258\"}}");
    } else if (strstr(line, "/control_delay_ms/")) {
        control_delay_ms = clamp(atol(strstr(line, "/control_delay_ms/") + strlen("/control_delay_ms/")), 0, 10000);
        answer_json(c, "{}");
    } else if (strstr(line, "/stats")) {
        char text[512];
        sprintf(text,
                "{\"connections\":%llu,\"requests\":%llu,\"streams\":%llu,\"chunks\":%llu,\"tokens\":%llu,"
                "\"sessions_made\":%llu,\"sessions_deleted\":%llu,\"files\":%llu,\"open_streams\":%ld}",
                counts.connections, counts.requests, counts.streams, counts.chunks, counts.tokens, counts.sessions_made,
                counts.sessions_deleted, counts.files, counts.open_streams);
        answer_json(c, text);
    } else {
        static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        put(c, missing, sizeof missing - 1);
    }
}

/* Handle the first request in the buffer when it is whole. False when it can never be. */
static bool take_request(struct connection *c, bool *taken) {
    *taken = false;
    if (!c->in_length) return true;
    c->in[c->in_length] = 0;
    char *blank = strstr(c->in, "\r\n\r\n");
    if (!blank) return true;
    *blank = 0;
    size_t head = (size_t)(blank - c->in) + 4;
    const char *length_line = strcasestr(c->in, "\r\ncontent-length:");
    long body = length_line ? strtol(length_line + strlen("\r\ncontent-length:"), NULL, 10) : 0;
    bool readable = body >= 0 && body < MAX_REQUEST_BYTES && !strcasestr(c->in, "\r\ntransfer-encoding:");
    if (!readable) return false;
    if (c->in_length < head + (size_t)body) {
        *blank = '\r';
        return true;
    }
    size_t whole = head + (size_t)body;
    char next = c->in[whole];
    c->in[whole] = 0;
    char *line_end = strstr(c->in, "\r\n");
    if (line_end) *line_end = 0;
    handle(c, c->in, c->in + head);
    c->in[whole] = next;
    memmove(c->in, c->in + whole, c->in_length - whole);
    c->in_length -= whole;
    *taken = true;
    return true;
}

/* Do all that can be done now: requests in their order, chunks without a pause, sending. False: close. */
static bool advance(struct connection *c) {
    for (;;) {
        if (c->streaming && c->heap_at < 0 && !c->pause_ms)
            while (c->streaming && c->out_length - c->out_sent < BATCH_BYTES) emit_chunk(c);
        if (!flush(c)) return false;
        if (c->out_length) return true; /* the reader is slower */
        if (c->streaming && (c->pause_ms || c->heap_at >= 0)) return true;
        if (c->streaming) continue;
        if (c->delayed) return true;
        bool taken;
        if (!take_request(c, &taken)) return false;
        if (!taken) return true;
    }
}

/* A connection's time has come. False: close. */
static bool on_timer(struct connection *c) {
    timer_stop(c);
    if (c->delayed) {
        answer_json(c, c->delayed);
        c->delayed = NULL;
    } else if (c->streaming && c->pause_ms) {
        if (c->out_length - c->out_sent < HELD_BYTES) emit_chunk(c);
        if (c->streaming) {
            u64 due = c->due + (u64)c->pause_ms * MILLISECOND, now = now_ns();
            timer_start(c, due > now ? due : now + (u64)c->pause_ms * MILLISECOND);
        }
    }
    return advance(c);
}

static bool on_readable(struct connection *c) {
    for (;;) {
        if (c->in_length + 4096 + 1 > c->in_capacity) {
            c->in_capacity = 2 * (c->in_length + 4096 + 1);
            if (c->in_capacity > 4 * MAX_REQUEST_BYTES) return false;
            c->in = grown(c->in, c->in_capacity);
        }
        ssize_t got = receive(c, c->in + c->in_length, c->in_capacity - c->in_length - 1);
        if (got == CLOSED) return false;
        if (got == WOULD_BLOCK) break;
        c->in_length += (size_t)got;
    }
    return advance(c);
}

/* --- connections --- */

#ifdef WITH_TLS
static SSL_CTX *tls_context;

static void prepare_tls(const char *certificate, const char *key) {
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(tls_context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}
#endif

static void drop(struct connection *c) {
    timer_stop(c);
    if (c->streaming) counts.open_streams--;
#ifdef WITH_TLS
    if (c->tls) SSL_free(c->tls);
#endif
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) fail("memory");
        c->fd = fd;
        c->heap_at = -1;
        counts.connections++;
#ifdef WITH_TLS
        if (listener == listening_tls) {
            c->tls = SSL_new(tls_context);
            SSL_set_fd(c->tls, fd);
            SSL_set_accept_state(c->tls);
        }
#endif
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

static int listen_anywhere(int *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || listen(fd, 4096)) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &length);
    *port = ntohs(address.sin_port);
    return fd;
}

static void listen_for(int fd, int *mark) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = mark};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static const char *argument(int count, char **arguments, const char *name) {
    for (int i = 1; i < count; i++)
        if (!strncmp(arguments[i], name, strlen(name))) return arguments[i] + strlen(name);
    return NULL;
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int port = 0, tls_port = 0;
    listening = listen_anywhere(&port);
    listen_for(listening, &listening);
    listen_for(timer_fd, &timer_fd);
    const char *certificate = argument(count, arguments, "cert="), *key = argument(count, arguments, "key=");
    if (certificate && key) {
#ifdef WITH_TLS
        prepare_tls(certificate, key);
        listening_tls = listen_anywhere(&tls_port);
        listen_for(listening_tls, &listening_tls);
#else
        fprintf(stderr, "mock: was compiled without TLS\n");
        return 1;
#endif
    }
    printf("{\"port\":%d,\"tls_port\":%d}\n", port, tls_port);
    fflush(stdout);

    struct epoll_event events[512];
    for (;;) {
        timer_arm();
        int ready = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            void *who = events[i].data.ptr;
            if (who == &timer_fd) {
                u64 times;
                if (read(timer_fd, &times, sizeof times) < 0 && errno != EAGAIN) fail("timer");
                timer_set_to = 0;
            } else if (who == &listening || who == &listening_tls) {
                accept_all(*(int *)who);
            } else {
                struct connection *c = who;
                bool alive = !(events[i].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP));
                if (alive && events[i].events & EPOLLIN) alive = on_readable(c);
                if (alive && events[i].events & EPOLLOUT) alive = advance(c);
                if (!alive) drop(c);
            }
        }
        for (u64 now = now_ns(); heap_length && heap[0]->due <= now;) {
            struct connection *c = heap[0];
            if (!on_timer(c)) drop(c);
        }
    }
}
