/* limit: how fast a server can answer zkload on this machine, if it has nothing else to do.
 *
 *   limit ZOO_CFG        (of which it reads clientPort and dataDir)
 *
 * It knows the frames that zkload sends: ConnectRequest, create, setData, getData, exists, ping,
 * closeSession, and the words ruok and srvr. It has no tree, no sessions, no ACLs and no checksums: all
 * data are 128 bytes. But a write is answered only when its bytes are in a log and fdatasync has
 * returned, and the answers of a connection keep the order of its requests. What a server with a tree
 * reaches of this figure is the share that its rules leave.
 *
 * One thread has the sockets (epoll), the other has the disk. While one batch of writes is on its way
 * to the disk the next one gathers, and it follows when the sockets bring no more writes (or after
 * GATHERING_TURNS looks at them). The log is allocated before, and begun again when it is full, so that
 * fdatasync has no metadata to write.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOG_BYTES = 64 << 20, IN_BYTES = 1 << 20, DATA_BYTES = 128, GATHERING_TURNS = 8, EVENTS = 256 };
enum { CREATE = 1, EXISTS = 3, GET_DATA = 4, SET_DATA = 5, PING = 11, CLOSE_SESSION = -11 };

typedef struct { char *bytes; size_t used, room; } Buffer;

typedef struct Client {
    int fd, is_open, ends;
    size_t received;
    char *in;
    Buffer out;
    size_t held;            /* the last bytes of out, which wait for the disk */
    size_t after_flying;    /* of these, the ones that do not wait for the batch on its way */
    int is_gathering, is_flying;
    struct Client *next_gathering, *next_flying;
} Client;

static Buffer gathering, flying;                     /* the bytes of two batches */
static Client *gathering_clients, *flying_clients;   /* and the clients that wait for them */
static int poller, log_file, to_disk, from_disk, disk_is_busy;
static uint64_t zxid;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static char *more(Buffer *buffer, size_t count) {
    if (buffer->used + count > buffer->room) {
        buffer->room = 2 * (buffer->used + count);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (!buffer->bytes) fail("realloc");
    }
    char *place = buffer->bytes + buffer->used;
    buffer->used += count;
    return place;
}

static uint32_t get_int(const char *from) {
    uint32_t value;
    memcpy(&value, from, 4);
    return be32toh(value);
}

static char *put_int(char *to, uint32_t value) {
    value = htobe32(value);
    return (char *)memcpy(to, &value, 4) + 4;
}

static char *put_long(char *to, uint64_t value) {
    return put_int(put_int(to, value >> 32), value);
}

/* ---- the disk */

static void *keep_log(void *none) {
    off_t at = 0;
    uint64_t count = 1;
    for (;;) {
        if (read(to_disk, &count, 8) != 8) fail("eventfd");
        if (at + flying.used > LOG_BYTES) at = 0;
        if (pwrite(log_file, flying.bytes, flying.used, at) != (ssize_t)flying.used) fail("log");
        if (fdatasync(log_file)) fail("fdatasync");
        at += flying.used;
        count = 1;
        if (write(from_disk, &count, 8) != 8) fail("eventfd");
    }
    return none;
}

static void open_log(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/log", folder);
    log_file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (log_file < 0) fail(path);
    char *zeros = calloc(1, IN_BYTES);
    for (off_t at = 0; at < LOG_BYTES; at += IN_BYTES)  /* written, not only reserved */
        if (pwrite(log_file, zeros, IN_BYTES, at) != IN_BYTES) fail(path);
    if (fsync(log_file)) fail(path);
    free(zeros);
}

static void hand_over(void) {
    Buffer empty = flying;
    flying = gathering;
    gathering = empty;
    gathering.used = 0;
    flying_clients = gathering_clients;
    gathering_clients = NULL;
    for (Client *client = flying_clients; client; client = client->next_flying) {
        client->next_flying = client->next_gathering;
        client->is_gathering = 0;
        client->is_flying = 1;
        client->after_flying = 0;
    }
    disk_is_busy = 1;
    uint64_t one = 1;
    if (write(to_disk, &one, 8) != 8) fail("eventfd");
}

/* ---- clients */

static void forget_if_gone(Client *client) {
    if (client->fd >= 0 || client->is_gathering || client->is_flying) return;
    free(client->in);
    free(client->out.bytes);
    free(client);
}

static void hang_up(Client *client) {
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
}

static void send_ready(Client *client) {
    size_t ready = client->out.used - client->held, sent = 0;
    while (sent < ready && client->fd >= 0) {
        ssize_t count = send(client->fd, client->out.bytes + sent, ready - sent, MSG_NOSIGNAL);
        if (count <= 0) hang_up(client);  /* a blocking socket: the client is gone */
        else sent += count;
    }
    client->out.used = client->held;
    memmove(client->out.bytes, client->out.bytes + ready, client->held);
    if (client->ends && !client->held) hang_up(client);
}

/* Take room for an answer. Behind a write of its connection an answer waits with it. */
static char *answer(Client *client, size_t count, const char *request, size_t length) {
    if (request) {
        zxid++;
        memcpy(more(&gathering, length), request, length);
        if (!client->is_gathering) {
            client->is_gathering = 1;
            client->next_gathering = gathering_clients;
            gathering_clients = client;
        }
    }
    if (client->is_gathering || client->is_flying) client->held += count;
    if (client->is_gathering) client->after_flying += count;
    return more(&client->out, count);
}

static char *reply(Client *client, const char *request, size_t length, size_t body, int is_write) {
    char *to = answer(client, 20 + body, is_write ? request : NULL, length);
    return put_int(put_long(put_int(put_int(to, 16 + body), get_int(request)), zxid), 0);
}

static void put_stat(char *to) {
    memset(to, 0, 68);
    put_long(put_long(to, zxid), zxid);
    put_long(put_int(put_int(to + 52, DATA_BYTES), 0), zxid);
}

static void serve(Client *client, const char *request, size_t length) {
    if (!client->is_open) {
        client->is_open = 1;
        char *to = answer(client, 41, request, length);
        memset(to, 0, 41);
        put_long(put_int(put_int(put_int(to, 37), 0), get_int(request + 12)), zxid);
        put_int(to + 20, 16);
        return;
    }
    size_t path = 4 + (length >= 12 ? get_int(request + 8) : 0);
    switch ((int)get_int(request + 4)) {
    case CREATE: memcpy(reply(client, request, length, path, 1), request + 8, path); break;
    case SET_DATA: put_stat(reply(client, request, length, 68, 1)); break;
    case EXISTS: put_stat(reply(client, request, length, 68, 0)); break;
    case GET_DATA: {
        char *to = put_int(reply(client, request, length, 4 + DATA_BYTES + 68, 0), DATA_BYTES);
        memset(to, 'x', DATA_BYTES);
        put_stat(to + DATA_BYTES);
        break;
    }
    case PING: reply(client, request, length, 0, 0); break;
    case CLOSE_SESSION: reply(client, request, length, 0, 1); client->ends = 1; break;
    default: fprintf(stderr, "limit: no operation %d\n", (int)get_int(request + 4)); exit(1);
    }
}

static int is_word(Client *client) {
    if (client->is_open || client->received != 4) return 0;
    int is_ruok = !memcmp(client->in, "ruok", 4);
    if (!is_ruok && memcmp(client->in, "srvr", 4)) return 0;
    const char *text = is_ruok ? "imok" : "Zookeeper version: none\n";
    memcpy(more(&client->out, strlen(text)), text, strlen(text));
    client->ends = 1;
    send_ready(client);
    return 1;
}

static void take(Client *client) {
    ssize_t count = recv(client->fd, client->in + client->received, IN_BYTES - client->received, 0);
    size_t at = 0;
    if (count <= 0) {
        hang_up(client);
        forget_if_gone(client);
        return;
    }
    client->received += count;
    if (is_word(client)) {
        forget_if_gone(client);
        return;
    }
    while (client->received - at >= 4) {
        size_t length = get_int(client->in + at);
        if (length < 8 || length > IN_BYTES - 4) {
            hang_up(client);
            forget_if_gone(client);
            return;
        }
        if (client->received - at - 4 < length) break;
        serve(client, client->in + at + 4, length);
        at += 4 + length;
    }
    client->received -= at;
    memmove(client->in, client->in + at, client->received);
    if (client->out.used > client->held) send_ready(client);
    forget_if_gone(client);
}

static void synced(void) {
    uint64_t count;
    if (read(from_disk, &count, 8) != 8) fail("eventfd");
    disk_is_busy = 0;
    Client *next, *client = flying_clients;
    for (flying_clients = NULL; client; client = next) {
        next = client->next_flying;
        client->is_flying = 0;
        client->held = client->is_gathering ? client->after_flying : 0;
        send_ready(client);
        forget_if_gone(client);
    }
}

/* ---- the loop */

static void watch(int fd, void *what) {
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void welcome(int listener) {
    Client *client = calloc(1, sizeof *client);
    int one = 1;
    client->fd = accept(listener, NULL, NULL);
    if (client->fd < 0) fail("accept");
    client->in = malloc(IN_BYTES);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(client->fd, client);
}

static int listen_on(int port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) fail("listen");
    return listener;
}

int main(int count, char **arguments) {
    char line[4096], folder[4096] = "";
    int port = 0, turns = 0;
    FILE *config = count == 2 ? fopen(arguments[1], "r") : NULL;
    if (!config) fail("usage: limit ZOO_CFG");
    while (fgets(line, sizeof line, config)) {
        sscanf(line, "clientPort=%d", &port);
        sscanf(line, "dataDir=%4095[^\n]", folder);
    }
    fclose(config);
    open_log(folder);
    poller = epoll_create1(0);
    to_disk = eventfd(0, 0);
    from_disk = eventfd(0, 0);
    int listener = listen_on(port);
    watch(listener, &listener);
    watch(from_disk, &from_disk);
    pthread_t disk;
    if (pthread_create(&disk, NULL, keep_log, NULL)) fail("pthread_create");
    struct epoll_event events[EVENTS];
    for (size_t seen = 0;;) {
        int is_gathering = gathering.used && !disk_is_busy;
        int is_synced = 0, ready = epoll_wait(poller, events, EVENTS, is_gathering ? 0 : -1);
        for (int i = 0; i < ready; i++) {
            void *what = events[i].data.ptr;
            if (what == &listener) welcome(listener);
            else if (what == &from_disk) is_synced = 1;  /* last, as it may free clients */
            else take(what);
        }
        if (is_synced) synced();
        if (!gathering.used || disk_is_busy) continue;
        if (gathering.used > seen && turns < GATHERING_TURNS) {
            seen = gathering.used;
            turns++;
        } else {
            hand_over();
            seen = turns = 0;
        }
    }
}
