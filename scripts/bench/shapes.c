/* shapes: loads of other shapes than zkload's, for any server that speaks ZooKeeper's client protocol.
 *
 *   shapes HOST:PORT fill PATH COUNT SIZE WINDOW FOLDER  creates COUNT znodes on one connection, WINDOW
 *                                                        of them under way; FOLDER in each folder, 0: flat
 *   shapes HOST:PORT children PATH CONNS SECONDS         getChildren in a closed loop
 *   shapes HOST:PORT multi PATH CONNS CREATES SECONDS    multi of so many creates, in a closed loop
 *   shapes HOST:PORT sessions COUNT SECONDS              opens sessions, and pings each every SECONDS
 *   shapes HOST:PORT watches SESSIONS ZNODES             opens sessions; each watches all znodes; then
 *                                                        all znodes are set at once
 *
 * Each step prints one line of JSON. `sessions` and `watches` take the next step when they read a line
 * of input, and end with the last step or when the input ends. During the burst of `watches` one more
 * session reads a znode each millisecond: how long it has to wait is how long the burst holds others up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 1, GET_DATA = 4, SET_DATA = 5, GET_CHILDREN = 8, PING = 11, MULTI = 14 };
enum { EVENT_XID = -1, PING_XID = -2, SESSION_TIMEOUT_MS = 30000, OPENING = 40, EVENTS = 512 };
enum { MAX_TIMES = 1 << 24 };

typedef struct { char *bytes; size_t used, room; } Buffer;
typedef struct Client { int fd, is_open, xid, is_waiting; double asked; Buffer in, out; } Client;

static struct sockaddr_in address;
static int poller;
static long opened, replies, errors, pongs, events;
static double first_event, last_event;
static void (*on_reply)(Client *, const char *frame);
static char data[1 << 20];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void reserve(Buffer *buffer, size_t count) {
    if (buffer->used + count <= buffer->room) return;
    buffer->room = 2 * (buffer->used + count);
    buffer->bytes = realloc(buffer->bytes, buffer->room);
    if (!buffer->bytes) fail("realloc");
}

/* ---- packing */

static int32_t get_int(const char *from) {
    int32_t value;
    memcpy(&value, from, 4);
    return be32toh(value);
}

static void put(Client *client, const void *bytes, size_t count) {
    reserve(&client->out, count);
    memcpy(client->out.bytes + client->out.used, bytes, count);
    client->out.used += count;
}

static void put_byte(Client *client, char value) { put(client, &value, 1); }

static void put_int(Client *client, int32_t value) {
    value = htobe32(value);
    put(client, &value, 4);
}

static void put_bytes(Client *client, const char *bytes, size_t count) {
    put_int(client, count);
    put(client, bytes, count);
}

static void put_string(Client *client, const char *text) { put_bytes(client, text, strlen(text)); }

static size_t begin(Client *client) {
    put_int(client, 0);
    return client->out.used;
}

static void end(Client *client, size_t start) {
    uint32_t length = htobe32(client->out.used - start);
    memcpy(client->out.bytes + start - 4, &length, 4);
}

static size_t request(Client *client, int xid, int type) {
    size_t start = begin(client);
    put_int(client, xid);
    put_int(client, type);
    client->asked = now();
    return start;
}

static void put_create(Client *client, const char *path, size_t size) {
    put_string(client, path);
    put_bytes(client, data, size);
    put_int(client, 1);  /* one ACL: everybody may do everything */
    put_int(client, 31);
    put_string(client, "world");
    put_string(client, "anyone");
    put_int(client, 0);
}

static void ask_create(Client *client, const char *path, size_t size) {
    size_t start = request(client, ++client->xid, CREATE);
    put_create(client, path, size);
    end(client, start);
}

static void ask_path(Client *client, int type, const char *path, int watch) {
    size_t start = request(client, ++client->xid, type);
    put_string(client, path);
    put_byte(client, watch);
    end(client, start);
}

/* ---- sockets: edge-triggered, so that each event means: read all, and write what is left */

static void flush(Client *client) {
    size_t sent = 0;
    while (sent < client->out.used) {
        ssize_t count = write(client->fd, client->out.bytes + sent, client->out.used - sent);
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) fail("write");
        sent += count;
    }
    client->out.used -= sent;
    memmove(client->out.bytes, client->out.bytes + sent, client->out.used);
}

static void take_frame(Client *client, const char *frame, size_t length) {
    if (!client->is_open) {
        client->is_open = 1;
        opened++;
        return;
    }
    int xid = get_int(frame);
    if (xid == EVENT_XID) {
        last_event = now();
        if (!events++) first_event = last_event;
    } else if (xid == PING_XID) {
        pongs++;
    } else {
        replies++;
        /* A multi that fails has a first result of type -1. */
        if (get_int(frame + 12) || (length >= 20 && on_reply && get_int(frame + 16) == -1)) errors++;
        if (on_reply) on_reply(client, frame);
    }
}

static void take(Client *client) {
    for (;;) {
        Buffer *in = &client->in;
        reserve(in, 4096);
        ssize_t count = read(client->fd, in->bytes + in->used, in->room - in->used);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            fprintf(stderr, "shapes: the server has closed a connection\n");
            exit(1);
        }
        in->used += count;
        size_t at = 0;
        while (in->used - at >= 4) {
            size_t length = get_int(in->bytes + at);
            if (in->used - at - 4 < length) break;
            take_frame(client, in->bytes + at + 4, length);
            at += 4 + length;
        }
        in->used -= at;
        memmove(in->bytes, in->bytes + at, in->used);
    }
}

static void pump(int timeout_ms) {
    struct epoll_event ready[EVENTS];
    int count = epoll_wait(poller, ready, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        Client *client = ready[i].data.ptr;
        take(client);
        flush(client);
    }
}

static Client *open_clients(long count) {
    Client *clients = calloc(count, sizeof *clients);
    long before = opened;
    int one = 1;
    for (long i = 0; i < count; i++) {
        Client *client = &clients[i];
        client->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (client->fd < 0) fail("socket");
        if (connect(client->fd, (void *)&address, sizeof address)) fail("connect");
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(client->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };
        if (epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event)) fail("epoll_ctl");
        size_t start = begin(client);
        char nothing[16] = "";
        put(client, nothing, 12);  /* protocol version, last zxid */
        put_int(client, SESSION_TIMEOUT_MS);
        put(client, nothing, 8);   /* no session yet */
        put_bytes(client, nothing, 16);
        put_byte(client, 0);
        end(client, start);
        flush(client);
        while (i + 1 + before - opened >= OPENING) pump(100);
    }
    while (opened < before + count) pump(100);
    return clients;
}

static void create_and_wait(Client *client, const char *path) {
    long before = replies, errors_before = errors;
    ask_create(client, path, 0);
    flush(client);
    while (replies == before) pump(100);
    errors = errors_before;  /* it may be there already */
}

/* ---- closed loops */

static float *times_s;
static long time_count, unique;
static double stop_at;
static const char *loop_path;
static int loop_creates;

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void ask_again(Client *client) {
    if (!loop_creates) {
        ask_path(client, GET_CHILDREN, loop_path, 0);
    } else {
        char path[256];
        size_t start = request(client, ++client->xid, MULTI);
        for (int i = 0; i < loop_creates; i++) {
            put_int(client, CREATE);
            put_byte(client, 0);
            put_int(client, -1);
            snprintf(path, sizeof path, "%s/m%d-%ld", loop_path, getpid(), unique++);
            put_create(client, path, 100);
        }
        put_int(client, -1);
        put_byte(client, 1);
        put_int(client, -1);
        end(client, start);
    }
    flush(client);
}

static void measured(Client *client, const char *frame) {
    (void)frame;
    double time = now();
    if (time_count < MAX_TIMES) times_s[time_count++] = time - client->asked;
    if (time < stop_at) ask_again(client);
}

static void closed_loop(const char *path, int conns, int creates, double seconds) {
    Client *clients = open_clients(conns);
    create_and_wait(clients, path);
    times_s = malloc(MAX_TIMES * sizeof *times_s);
    loop_path = path;
    loop_creates = creates;
    on_reply = measured;
    replies = 0;
    double start = now();
    stop_at = start + seconds;
    for (int i = 0; i < conns; i++) ask_again(&clients[i]);
    while (now() < stop_at || !time_count) pump(100);
    double took = now() - start;
    qsort(times_s, time_count, sizeof *times_s, compare);
    printf("{\"ops\": %.1f, \"p50_ms\": %.3f, \"errors\": %ld}\n", time_count / took,
           times_s[time_count / 2] * 1e3, errors);
}

/* ---- the other shapes */

static void fill(const char *root, long count, int size, int window, int folder) {
    Client *client = open_clients(1);
    char path[256];
    long sent = 0;
    create_and_wait(client, root);
    replies = 0;
    double start = now();
    for (long i = 0; i < count; i++) {
        if (folder && i % folder == 0) {
            snprintf(path, sizeof path, "%s/d%ld", root, i / folder);
            ask_create(client, path, 0);
            sent++;
        }
        if (folder) snprintf(path, sizeof path, "%s/d%ld/n%ld", root, i / folder, i);
        else snprintf(path, sizeof path, "%s/n%ld", root, i);
        ask_create(client, path, size);
        sent++;
        if (client->out.used > 8192) flush(client);
        while (sent - replies >= window) {
            flush(client);
            pump(100);
        }
    }
    flush(client);
    while (replies < sent) pump(100);
    double took = now() - start;
    printf("{\"ops\": %.1f, \"seconds\": %.3f, \"errors\": %ld}\n", sent / took, took, errors);
}

static int has_input(void) {
    struct pollfd input = { .fd = 0, .events = POLLIN };
    return poll(&input, 1, 0) > 0;
}

static int next_step(void) {
    char line[64];
    return fgets(line, sizeof line, stdin) != NULL;
}

static void sessions(long count, double seconds) {
    double start = now();
    Client *clients = open_clients(count);
    printf("{\"seconds\": %.3f}\n", now() - start);
    start = now();
    for (long sent = 0; !has_input();) {
        for (; sent < (now() - start) / seconds * count; sent++) {
            Client *client = &clients[sent % count];
            end(client, request(client, PING_XID, PING));
            flush(client);
        }
        pump(5);
    }
    printf("{\"pings\": %ld}\n", pongs);
}

static double longest_wait;

static void probed(Client *client, const char *frame) {
    (void)frame;
    if (!client->is_waiting) return;
    client->is_waiting = 0;
    double wait = now() - client->asked;
    if (wait > longest_wait) longest_wait = wait;
}

static void burst(Client *writer, Client *probe, long znodes, long expected) {
    char path[64];
    events = replies = 0;
    on_reply = probed;
    double start = now();
    for (long j = 0; j < znodes; j++) {
        snprintf(path, sizeof path, "/watched/n%ld", j);
        size_t begun = request(writer, ++writer->xid, SET_DATA);
        put_string(writer, path);
        put_bytes(writer, data, 20);
        put_int(writer, -1);
        end(writer, begun);
    }
    flush(writer);
    while (events < expected && now() - start < 60) {
        if (!probe->is_waiting && now() - probe->asked >= 1e-3) {
            ask_path(probe, GET_DATA, "/watched", 0);
            probe->is_waiting = 1;
            flush(probe);
        }
        pump(1);
    }
    while (probe->is_waiting) pump(100);
    printf("{\"events\": %ld, \"first_ms\": %.2f, \"last_ms\": %.2f, \"probe_ms\": %.2f, \"errors\": %ld}\n",
           events, (first_event - start) * 1e3, (last_event - start) * 1e3, longest_wait * 1e3, errors);
}

static void watches(long count, long znodes) {
    char path[64];
    Client *others = open_clients(2), *clients = open_clients(count);
    create_and_wait(others, "/watched");
    for (long j = 0; j < znodes; j++) {
        snprintf(path, sizeof path, "/watched/n%ld", j);
        create_and_wait(others, path);
    }
    printf("{\"sessions\": %ld}\n", count);
    if (!next_step()) return;
    replies = 0;
    double start = now();
    for (long i = 0; i < count; i++) {
        for (long j = 0; j < znodes; j++) {
            snprintf(path, sizeof path, "/watched/n%ld", j);
            ask_path(&clients[i], GET_DATA, path, 1);
        }
        flush(&clients[i]);
        while ((i + 1) * znodes - replies > 2000) pump(100);
    }
    while (replies < count * znodes) pump(100);
    printf("{\"seconds\": %.3f, \"errors\": %ld}\n", now() - start, errors);
    if (next_step()) burst(&others[0], &others[1], znodes, count * znodes);
}

int main(int count, char **arguments) {
    char host[64] = "";
    int port = 0;
    memset(data, 'x', sizeof data);
    setvbuf(stdout, NULL, _IOLBF, 0);
    poller = epoll_create1(0);
    if (count < 5 || sscanf(arguments[1], "%63[^:]:%d", host, &port) != 2) fail("usage");
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fail(host);
    const char *shape = arguments[2];
    char **more = arguments + 3;
    if (!strcmp(shape, "fill") && count == 8)
        fill(more[0], atol(more[1]), atoi(more[2]), atoi(more[3]), atoi(more[4]));
    else if (!strcmp(shape, "children") && count == 6)
        closed_loop(more[0], atoi(more[1]), 0, atof(more[2]));
    else if (!strcmp(shape, "multi") && count == 7)
        closed_loop(more[0], atoi(more[1]), atoi(more[2]), atof(more[3]));
    else if (!strcmp(shape, "sessions") && count == 5)
        sessions(atol(more[0]), atof(more[1]));
    else if (!strcmp(shape, "watches") && count == 5)
        watches(atol(more[0]), atol(more[1]));
    else
        fail("usage");
    return 0;
}
