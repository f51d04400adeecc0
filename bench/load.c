/*
 * The benchmark's client: keeps a number of streams going over kept-alive connections, from one thread, and measures.
 *
 *   load port=8080 path=/v1/chat/completions body=FILE [key=KEY] slots=16 [requests=N] [seconds=S] [chunks=N]
 *        [ramp_ms=0] [limit_s=30] [turn=FILE turns=N [keep=FILE]]
 *
 * Each of `slots` connections to 127.0.0.1 sends the request, reads the streamed answer to its end and begins again, until
 * `requests` have been sent or `seconds` are over, whichever is given and comes first; what runs then is read to its end.
 * With ramp_ms the slots begin one after the other over that time. After limit_s everything is given up.
 *
 * With turn= the requests are conversations. Each line of the body's file is one of them: a request whose last member is
 * "messages", so that it ends with ]}. After an answer the conversation has grown by it, word for word, and by the message
 * in turn=; that is its next request, up to `turns` of them, while the other conversations take theirs. keep= writes the
 * conversations as they are at the end, for another run to go on with: its requests then have no first ones among them.
 *
 * It finds the stamps @T=<CLOCK_MONOTONIC in ns>; that the mock upstream writes into the text of each chunk:
 *   TTFT         from sending the request to receiving its first stamp
 *   forwarding   from a stamp to receiving it
 * An answer counts as an error when its status is not 200, when it breaks off, when it has not exactly `chunks` stamps, or
 * when it is a stream of events without "data: [DONE]" at its end. The result is one line of JSON; times are in ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define STAMP_DIGITS 19
#define HEAD_BYTES 8192
#define TAIL_BYTES 32
#define DONE "data: [DONE]"
#define CONTENT "\"content\":\""

typedef unsigned long long u64;

enum phase { IDLE, CONNECTING, HEAD, BODY };
enum framing { CHUNKED, COUNTED, TO_THE_END };
enum chunk_part { SIZE_LINE, DATA, DATA_END, TRAILER };

struct text {
    char *bytes;
    size_t length, capacity;
};

/* A request's body, and as a conversation how often it has been answered. */
struct conversation {
    struct text body;
    long turns;
};

struct slot {
    int fd;
    enum phase phase;
    bool reused, got_bytes, closes, is_events;
    u64 sent_at;
    int status;
    char head[HEAD_BYTES + 1];
    size_t head_length;
    enum framing framing;
    enum chunk_part chunk_part;
    u64 rest; /* of the HTTP chunk, or of the counted body */
    bool in_size, trailer_empty;
    int stamp_matched; /* bytes of @T= */
    int stamp_digits;
    u64 stamp;
    long stamps;
    char tail[TAIL_BYTES]; /* the last bytes of the body */
    size_t tail_length;
    struct conversation *conversation;
    struct text answer;   /* what stands between the quotes of all "content":"…", as it came */
    int content_matched;  /* bytes of CONTENT */
    bool content_escaped; /* the last byte was a backslash */
};

/* Times in units of 100 ns. */
struct samples {
    uint32_t *values;
    size_t length, capacity;
};

static int epoll_fd;
static struct sockaddr_in server;
static struct slot *slots;
static long slot_count, slots_begun, requests_wanted, chunks_wanted;
static struct conversation *conversations;
static long conversation_count;
static struct conversation **waiting; /* a ring: those whose turn it is next */
static long waiting_first, waiting_count;
static struct text turn; /* the message of each further turn; empty: every request is the same */
static long turns_wanted;
static const char *path, *key, *port;
static u64 began_at, stop_at;
static long sent, done, errors, reconnects, stamps_seen;
static u64 bytes_seen;
static char first_error[400];
static struct samples ttft, forwarding, whole;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * SECOND + (u64)t.tv_nsec;
}

/* --- samples --- */

static void note(struct samples *s, u64 ns) {
    if (s->length == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 65536;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
        if (!s->values) fail("memory");
    }
    u64 value = ns / 100;
    s->values[s->length++] = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s) {
    static const double shares[] = {0.5, 0.9, 0.99, 1};
    static const char *labels[] = {"p50", "p90", "p99", "max"};
    qsort(s->values, s->length, sizeof *s->values, by_value);
    printf("\"%s\":{\"samples\":%zu", name, s->length);
    for (int i = 0; i < 4 && s->length; i++) {
        size_t at = (size_t)(shares[i] * (double)s->length);
        printf(",\"%s\":%.4f", labels[i], s->values[at < s->length ? at : s->length - 1] / 1e4);
    }
    printf("},");
}

/* --- texts --- */

static void append(struct text *text, const char *bytes, size_t length) {
    if (text->length + length > text->capacity) {
        text->capacity = 2 * (text->length + length);
        text->bytes = realloc(text->bytes, text->capacity);
        if (!text->bytes) fail("memory");
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

static struct text read_file(const char *name) {
    FILE *stream = fopen(name, "rb");
    if (!stream) fail(name);
    struct text text = {0};
    static char block[65536];
    for (size_t got; (got = fread(block, 1, sizeof block, stream));) append(&text, block, got);
    fclose(stream);
    return text;
}

/* --- conversations --- */

static void queue(struct conversation *c) {
    waiting[(waiting_first + waiting_count++) % conversation_count] = c;
}

static void read_conversations(const char *name) {
    struct text lines = read_file(name);
    for (size_t i = 0; i < lines.length; i++) conversation_count += lines.bytes[i] == '\n';
    conversations = calloc((size_t)conversation_count, sizeof *conversations);
    waiting = calloc((size_t)conversation_count, sizeof *waiting);
    if (!conversation_count || !conversations || !waiting) fail(name);
    const char *at = lines.bytes;
    for (long i = 0; i < conversation_count; i++) {
        size_t length = strcspn(at, "\n");
        append(&conversations[i].body, at, length);
        queue(&conversations[i]);
        at += length + 1;
    }
    free(lines.bytes);
}

static void keep_conversations(const char *name) {
    FILE *stream = fopen(name, "wb");
    if (!stream) fail(name);
    for (long i = 0; i < conversation_count; i++) {
        fwrite(conversations[i].body.bytes, 1, conversations[i].body.length, stream);
        fputc('\n', stream);
    }
    if (fclose(stream)) fail(name);
}

/* Give a slot the conversation whose turn it is. False: all are being answered, or have been to the end. */
static bool take_conversation(struct slot *s) {
    if (!turn.length) {
        s->conversation = &conversations[0];
        return true;
    }
    if (!waiting_count) return false;
    s->conversation = waiting[waiting_first];
    waiting_first = (waiting_first + 1) % conversation_count;
    waiting_count--;
    return true;
}

/* Look for the answer's words, which may be cut anywhere. They stay as they are escaped. */
static void collect(struct slot *s, const char *at, size_t length) {
    static const char mark[] = CONTENT;
    const int whole_mark = (int)sizeof mark - 1;
    for (const char *end = at + length; at < end; at++) {
        if (s->content_matched < whole_mark) {
            s->content_matched = *at == mark[s->content_matched] ? s->content_matched + 1 : *at == mark[0];
        } else if (*at == '"' && !s->content_escaped) {
            s->content_matched = 0;
        } else {
            append(&s->answer, at, 1);
            s->content_escaped = *at == '\\' && !s->content_escaped;
        }
    }
}

/* The conversation with this answer and the next message is its next request. */
static void go_on(struct slot *s) {
    static const char before[] = ",{\"role\":\"assistant\",\"content\":\"", between[] = "\"},", end[] = "]}";
    struct conversation *c = s->conversation;
    c->body.length -= sizeof end - 1;
    append(&c->body, before, sizeof before - 1);
    append(&c->body, s->answer.bytes, s->answer.length);
    append(&c->body, between, sizeof between - 1);
    append(&c->body, turn.bytes, turn.length);
    append(&c->body, end, sizeof end - 1);
    if (++c->turns < turns_wanted) queue(c);
}

/* --- one request after the other --- */

static void begin(struct slot *s);

static void hang_up(struct slot *s) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->phase = IDLE;
}

static bool may_send(void) {
    return (!requests_wanted || sent < requests_wanted) && now_ns() < stop_at;
}

static void next(struct slot *s) {
    s->phase = IDLE;
    if (may_send() && take_conversation(s)) begin(s);
}

static void give_up(struct slot *s, const char *why, const char *detail) {
    errors++;
    if (!first_error[0]) {
        snprintf(first_error, sizeof first_error, "%s %.250s", why, detail);
        for (char *c = first_error; *c; c++)
            if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ' || (unsigned char)*c > '~') *c = '\'';
    }
    hang_up(s);
    next(s);
}

static void finish(struct slot *s) {
    bool has_done = s->tail_length >= strlen(DONE) && memmem(s->tail, s->tail_length, DONE, strlen(DONE));
    if (chunks_wanted && s->stamps != chunks_wanted) {
        char detail[96];
        snprintf(detail, sizeof detail, "%ld of %ld chunks", s->stamps, chunks_wanted);
        give_up(s, "a wrong number of chunks:", detail);
    } else if (s->is_events && !has_done) {
        give_up(s, "events without an end", "");
    } else {
        done++;
        note(&whole, now_ns() - s->sent_at);
        if (turn.length) go_on(s);
        if (s->closes) hang_up(s);
        next(s);
    }
}

/* A body that the system does not take at once is waited for: only large ones are. */
static bool send_whole(int fd, const struct text *text) {
    for (size_t at = 0; at < text->length;) {
        ssize_t taken = send(fd, text->bytes + at, text->length - at, MSG_NOSIGNAL);
        if (taken > 0) {
            at += (size_t)taken;
        } else {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            if (errno != EAGAIN || poll(&room, 1, 1000) <= 0) return false;
        }
    }
    return true;
}

static void send_request(struct slot *s) {
    s->phase = HEAD;
    s->head_length = 0;
    s->got_bytes = s->closes = s->is_events = false;
    s->stamps = s->stamp_matched = 0;
    s->tail_length = s->answer.length = 0;
    s->content_matched = 0;
    s->content_escaped = false;
    static struct text request;
    char head[1024];
    const struct text *body = &s->conversation->body;
    int length = snprintf(head, sizeof head,
                          "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\nAccept: */*\r\n"
                          "Content-Type: application/json\r\nUser-Agent: load\r\nContent-Length: %zu\r\n\r\n",
                          path, port, key, body->length);
    request.length = 0;
    append(&request, head, (size_t)length);
    append(&request, body->bytes, body->length);
    if (!send_whole(s->fd, &request)) give_up(s, "not sent", "");
}

static void connect_slot(struct slot *s) {
    s->reused = false;
    s->phase = CONNECTING;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) fail("socket");
    int yes = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(s->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) fail("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event);
}

static void begin(struct slot *s) {
    sent++;
    s->sent_at = now_ns();
    if (s->fd < 0) {
        connect_slot(s);
        return;
    }
    s->reused = true;
    send_request(s);
}

static void on_connected(struct slot *s) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        give_up(s, "not connected:", strerror(error));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &event);
    send_request(s);
}

/* --- reading an answer --- */

static void found_stamp(struct slot *s, u64 received) {
    if (!s->stamps++) note(&ttft, received - s->sent_at);
    stamps_seen++;
    note(&forwarding, received - s->stamp);
}

/* Look for stamps, which may be cut anywhere. */
static void scan(struct slot *s, const char *at, size_t length, u64 received) {
    static const char mark[] = "@T=";
    for (const char *end = at + length; at < end;) {
        if (s->stamp_matched == 0) {
            at = memchr(at, mark[0], (size_t)(end - at));
            if (!at) return;
            s->stamp_matched = 1;
            at++;
        } else if (s->stamp_matched < (int)sizeof mark - 1) {
            if (*at == mark[s->stamp_matched]) {
                s->stamp_matched++;
                at++;
            } else {
                s->stamp_matched = 0;
            }
            s->stamp = 0;
            s->stamp_digits = 0;
        } else if (*at >= '0' && *at <= '9' && s->stamp_digits < STAMP_DIGITS) {
            s->stamp = s->stamp * 10 + (u64)(*at++ - '0');
            s->stamp_digits++;
        } else {
            if (s->stamp_digits == STAMP_DIGITS && *at == ';') found_stamp(s, received);
            s->stamp_matched = 0;
        }
    }
}

static void take(struct slot *s, const char *data, size_t length, u64 received) {
    bytes_seen += length;
    scan(s, data, length, received);
    if (turn.length) collect(s, data, length);
    if (length < TAIL_BYTES) {
        size_t kept = s->tail_length + length > TAIL_BYTES ? TAIL_BYTES - length : s->tail_length;
        memmove(s->tail, s->tail + s->tail_length - kept, kept);
        memcpy(s->tail + kept, data, length);
        s->tail_length = kept + length;
    } else {
        memcpy(s->tail, data + length - TAIL_BYTES, TAIL_BYTES);
        s->tail_length = TAIL_BYTES;
    }
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Read HTTP chunks. True once the last one is in. */
static bool take_chunked(struct slot *s, const char *at, size_t length, u64 received) {
    for (const char *end = at + length; at < end;) {
        if (s->chunk_part == DATA) {
            size_t part = (u64)(end - at) < s->rest ? (size_t)(end - at) : (size_t)s->rest;
            take(s, at, part, received);
            at += part;
            s->rest -= part;
            if (!s->rest) s->chunk_part = DATA_END;
            continue;
        }
        char c = *at++;
        if (s->chunk_part == SIZE_LINE) {
            if (s->in_size && hex(c) >= 0) {
                s->rest = s->rest * 16 + (u64)hex(c);
            } else if (c == '\n') {
                s->chunk_part = s->rest ? DATA : TRAILER;
                s->trailer_empty = true;
            } else {
                s->in_size = false;
            }
        } else if (s->chunk_part == DATA_END) {
            if (c != '\n') continue;
            s->chunk_part = SIZE_LINE;
            s->in_size = true;
        } else {
            if (c == '\n' && s->trailer_empty) return true;
            if (c != '\r') s->trailer_empty = c == '\n';
        }
    }
    return false;
}

/* True once the answer is whole. */
static bool take_body(struct slot *s, const char *at, size_t length, u64 received) {
    if (s->framing == CHUNKED) return take_chunked(s, at, length, received);
    if (s->framing == TO_THE_END) {
        take(s, at, length, received);
        return false;
    }
    if (length > s->rest) length = (size_t)s->rest;
    take(s, at, length, received);
    s->rest -= length;
    return !s->rest;
}

/* Take bytes of the head. Returns how many of them belong to it; `whole` says whether it has ended. */
static size_t take_head(struct slot *s, const char *at, size_t length, bool *whole) {
    size_t known = s->head_length;
    size_t taken = length < HEAD_BYTES - known ? length : HEAD_BYTES - known;
    memcpy(s->head + known, at, taken);
    s->head_length = known + taken;
    s->head[s->head_length] = 0;
    char *blank = strstr(s->head, "\r\n\r\n");
    *whole = blank != NULL;
    if (!blank) return taken;
    size_t used = (size_t)(blank - s->head) + 4 - known;
    *blank = 0;
    s->status = atoi(s->head + strcspn(s->head, " "));
    s->closes = strcasestr(s->head, "\r\nconnection: close") != NULL;
    s->is_events = strcasestr(s->head, "text/event-stream") != NULL;
    const char *counted = strcasestr(s->head, "\r\ncontent-length:");
    s->framing = strcasestr(s->head, "\r\ntransfer-encoding: chunked") ? CHUNKED : counted ? COUNTED : TO_THE_END;
    s->rest = s->framing == COUNTED ? strtoull(counted + strlen("\r\ncontent-length:"), NULL, 10) : 0;
    s->chunk_part = SIZE_LINE;
    s->in_size = true;
    s->phase = BODY;
    return used;
}

static void on_end(struct slot *s) {
    if (s->phase == IDLE) {
        hang_up(s);
    } else if (s->phase == HEAD && s->reused && !s->got_bytes) { /* the server let an idle connection go */
        reconnects++;
        hang_up(s);
        connect_slot(s);
    } else if (s->phase == BODY && s->framing == TO_THE_END) {
        s->closes = true;
        finish(s);
    } else {
        give_up(s, "the answer broke off", "");
    }
}

static void on_readable(struct slot *s) {
    static char buffer[256 * 1024];
    ssize_t got = recv(s->fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        on_end(s);
        return;
    }
    u64 received = now_ns();
    const char *at = buffer;
    size_t length = (size_t)got;
    s->got_bytes = true;
    if (s->phase == IDLE) {
        give_up(s, "bytes that nobody asked for", "");
        return;
    }
    if (s->phase == HEAD) {
        bool is_whole;
        size_t used = take_head(s, at, length, &is_whole);
        at += used;
        length -= used;
        if (!is_whole && s->head_length == HEAD_BYTES) give_up(s, "too long a head", "");
        if (!is_whole) return;
        if (s->status != 200) {
            char detail[256];
            snprintf(detail, sizeof detail, "%d %.*s", s->status, (int)(length < 200 ? length : 200), at);
            give_up(s, "status", detail);
            return;
        }
    }
    if (take_body(s, at, length, received)) finish(s);
}

/* --- the whole run --- */

static const char *argument(int count, char **arguments, const char *name, const char *otherwise) {
    for (int i = 1; i < count; i++)
        if (!strncmp(arguments[i], name, strlen(name))) return arguments[i] + strlen(name);
    if (!otherwise) {
        fprintf(stderr, "load: %s is missing\n", name);
        exit(1);
    }
    return otherwise;
}

static long still_running(void) {
    long running = 0;
    for (long i = 0; i < slots_begun; i++) running += slots[i].phase != IDLE;
    return running;
}

static void run(u64 ramp_ns, u64 limit_at) {
    struct epoll_event events[1024];
    u64 checked_at = 0;
    for (;;) {
        u64 now = now_ns();
        while (slots_begun < slot_count && now >= began_at + ramp_ns * (u64)slots_begun / (u64)slot_count) {
            struct slot *s = &slots[slots_begun++];
            if (may_send() && take_conversation(s)) begin(s);
        }
        if (now > limit_at) break;
        if (now - checked_at > SECOND / 1000) { /* looking at all slots each time would cost more than the reading */
            checked_at = now;
            if (slots_begun == slot_count && !still_running()) break;
        }
        int ready = epoll_wait(epoll_fd, events, 1024, slots_begun < slot_count ? 1 : 2);
        for (int i = 0; i < ready; i++) {
            struct slot *s = events[i].data.ptr;
            if (s->fd < 0) continue;
            if (s->phase == CONNECTING)
                on_connected(s);
            else
                on_readable(s);
        }
    }
}

int main(int count, char **arguments) {
    signal(SIGPIPE, SIG_IGN);
    port = argument(count, arguments, "port=", NULL);
    path = argument(count, arguments, "path=", NULL);
    key = argument(count, arguments, "key=", "none");
    server.sin_family = AF_INET;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(port));
    read_conversations(argument(count, arguments, "body=", NULL));
    const char *further = argument(count, arguments, "turn=", ""), *kept = argument(count, arguments, "keep=", "");
    if (further[0]) turn = read_file(further);
    turns_wanted = atol(argument(count, arguments, "turns=", "0"));
    slot_count = atol(argument(count, arguments, "slots=", NULL));
    requests_wanted = atol(argument(count, arguments, "requests=", "0"));
    chunks_wanted = atol(argument(count, arguments, "chunks=", "0"));
    double seconds = atof(argument(count, arguments, "seconds=", "0"));
    u64 ramp_ns = (u64)(atof(argument(count, arguments, "ramp_ms=", "0")) * 1e6);
    double limit_s = atof(argument(count, arguments, "limit_s=", "30"));
    if (slot_count < 1 || (!requests_wanted && seconds <= 0)) {
        fprintf(stderr, "load: slots=, and requests= or seconds=, must be given\n");
        return 1;
    }

    slots = calloc((size_t)slot_count, sizeof *slots);
    if (!slots) fail("memory");
    for (long i = 0; i < slot_count; i++) slots[i].fd = -1;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    began_at = now_ns();
    stop_at = seconds > 0 ? began_at + (u64)(seconds * 1e9) : UINT64_MAX;
    run(ramp_ns, began_at + (u64)(limit_s * 1e9));

    double elapsed_s = (double)(now_ns() - began_at) / 1e9;
    if (kept[0]) keep_conversations(kept);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"done\":%ld,\"errors\":%ld,\"unfinished\":%ld,\"reconnects\":%ld,\"elapsed_s\":%.6f,\"chunks\":%ld,\"bytes\":%llu,",
           done, errors, still_running(), reconnects, elapsed_s, stamps_seen, bytes_seen);
    print_samples("ttft_ms", &ttft);
    print_samples("forward_ms", &forwarding);
    print_samples("whole_ms", &whole);
    printf("\"cpu_s\":%.6f,\"first_error\":\"%s\"}\n", cpu_s, first_error);
    return 0;
}
