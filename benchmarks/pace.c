/* Sends requests at an even rate to 127.0.0.1 and says when each was due, sent and answered.
 *
 * pace PORT FILE TYPE RATE COUNT CONNECTIONS PATIENCE: the bodies in FILE, with a NUL between two,
 * are POSTed to /invocations in turn. After the last one answers are waited for PATIENCE seconds.
 * Open-loop: request n is due n / RATE seconds after the start, whatever came of the others; it
 * waits only when every connection waits for an answer. One line a request, in nanoseconds from the
 * start: due, when its connection became free, sent, answered; then the status, 0 without an
 * answer. Answered is the kernel's stamp on the last packet where there is one (Linux): a generator
 * that is late to read it does not make the server slower. So it need not wake up for each answer,
 * which would take from the server a good part of a core: answers are read when no connection is
 * known to be free, or when there is nothing to send for a while. Two threads, each with its share
 * of the requests and connections, burden the cores evenly.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define SECOND 1000000000LL

#define MOST 512 /* connections */
#define THREADS 2
#ifdef SO_TIMESTAMPNS
#define WHILE (SECOND / 1000)
#else
#define WHILE 0
#endif

struct request { char *bytes; size_t length; };
struct found { int64_t due, free, sent, answered; int status; };
struct connection {
    int fd, last; /* last: the server closes it after this answer */
    int64_t free;
    struct found *request; /* what is being answered; none when it is idle */
    size_t got, whole;     /* bytes of the answer; whole is 0 until its head is there */
    char head[8192];
};

struct share { long first, count; struct connection *all; int connections; }; /* of a thread */

static __thread char scratch[1 << 16];
static int port, threads; /* as many as THREADS, and as connections */
static int64_t patience, start, end;
static struct request *requests;
static size_t different;
static struct found *found;

static int64_t now(void) { /* the clock of the kernel's stamps */
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static size_t read_requests(const char *path, const char *type, struct request **into) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    size_t size = ftell(file), count = 0;
    char *bytes = calloc(1, size + 1);
    rewind(file);
    if (!bytes || fread(bytes, 1, size, file) != size) fail(path);
    fclose(file);
    for (char *at = bytes; at < bytes + size; at += strlen(at) + 1) {
        *into = realloc(*into, ++count * sizeof **into);
        struct request *one = *into + count - 1;
        int length = asprintf(&one->bytes,
                              "POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                              "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                              type, strlen(at), at);
        if (length < 0) fail("memory");
        one->length = length;
    }
    if (!count) fail("no request");
    return count;
}

static int open_to(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {patience / SECOND, patience % SECOND / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* for connect, too */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_TIMESTAMPNS
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
#endif
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void hang_up(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

/* Whether it went out. */
static int send_on(struct connection *c, const struct request *one) {
    c->got = c->whole = c->last = 0;
    if (c->fd < 0) c->fd = open_to();
    return c->fd >= 0 && send(c->fd, one->bytes, one->length, 0) == (ssize_t)one->length;
}

static int64_t stamp(struct msghdr *message) {
    int64_t at = now();
#ifdef SO_TIMESTAMPNS
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SO_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(one), sizeof t);
            at = t.tv_sec * SECOND + t.tv_nsec;
        }
    }
#endif
    return at;
}

/* Reads what is there. Whether the connection is free again: the answer is whole, or it broke. */
static int receive(struct connection *c) {
    int heading = !c->whole;
    struct iovec to = {scratch, sizeof scratch};
    if (heading) to = (struct iovec){c->head + c->got, sizeof c->head - 1 - c->got};
    char control[256];
    struct msghdr message = {.msg_iov = &to, .msg_iovlen = 1};
    message.msg_control = control, message.msg_controllen = sizeof control;
    ssize_t got = recvmsg(c->fd, &message, 0);
    c->free = stamp(&message);
    if (got <= 0) {
        hang_up(c);
        return 1;
    }
    c->got += got;
    if (heading) {
        c->head[c->got] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) return 0;
        *end = 0;
        char *length = strcasestr(c->head, "\r\ncontent-length:");
        if (!length || strncmp(c->head, "HTTP/1.", 7)) { /* no server here sends chunks */
            hang_up(c);
            return 1;
        }
        c->whole = end + 4 - c->head + strtoul(strchr(length, ':') + 1, NULL, 10);
        c->last = strcasestr(c->head, "\r\nconnection: close") != NULL;
    }
    if (c->got < c->whole) return 0;
    c->request->answered = c->free;
    c->request->status = atoi(c->head + strlen("HTTP/1.1 "));
    if (c->last) hang_up(c);
    return 1;
}

/* Sends every threads-th request, over as many of the connections, and receives the answers. */
static void *work(void *given) {
    struct share *share = given;
    long count = share->count, sent = share->first, done = sent;
    struct connection *all = share->all, *idle[MOST]; /* the longest first */
    int first = 0, connections = share->connections, idles = connections;
    for (int i = 0; i < connections; i++) {
        all[i].fd = -1, all[i].free = start;
        idle[i] = all + i;
    }
    while (done < count && now() < end) {
        if (sent < count && idles && now() >= found[sent].due) {
            struct connection *c = idle[first];
            c->request = found + sent;
            c->request->free = c->free, c->request->sent = now();
            first = (first + 1) % connections, idles--;
            if (!send_on(c, requests + sent % different)) {
                hang_up(c);
                c->request = NULL;
                idle[(first + idles++) % connections] = c, done += threads;
            }
            sent += threads;
            continue; /* the next may be due */
        }
        int64_t pause = (sent < count && idles ? found[sent].due : end) - now();
        if (pause < 0) pause = 0;
        struct timespec timeout = {pause / SECOND, pause % SECOND};
        if (sent < count && idles && pause < WHILE) {
            pselect(0, NULL, NULL, NULL, &timeout, NULL);
            continue;
        }
        fd_set waiting;
        int highest = -1;
        FD_ZERO(&waiting);
        for (struct connection *c = all; c < all + connections; c++) {
            if (!c->request) continue;
            FD_SET(c->fd, &waiting);
            if (c->fd > highest) highest = c->fd;
        }
        if (pselect(highest + 1, &waiting, NULL, NULL, &timeout, NULL) <= 0) continue;
        for (struct connection *c = all; c < all + connections; c++) {
            if (c->request && FD_ISSET(c->fd, &waiting) && receive(c)) {
                c->request = NULL;
                idle[(first + idles++) % connections] = c, done += threads;
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 8) return fprintf(stderr, "pace takes 7 arguments\n"), 2;
    port = atoi(argv[1]);
    int connections = atoi(argv[6]);
    double rate = atof(argv[4]);
    patience = (int64_t)(atof(argv[7]) * SECOND);
    long count = atol(argv[5]);
    if (rate <= 0 || count < 1 || connections < 1 || connections > MOST) return 2;
    different = read_requests(argv[2], argv[3], &requests);
    found = calloc(count, sizeof *found);
    struct connection *all = calloc(connections, sizeof *all);
    if (!all || !found) fail("memory");
    signal(SIGPIPE, SIG_IGN); /* a closed connection is found by sending on it */
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1UL); /* else Linux wakes it up to 50 µs late, to save power */
#endif
    start = now() + SECOND / 200;
    end = start + (int64_t)(count / rate * SECOND) + patience;
    for (long i = 0; i < count; i++) found[i].due = start + (int64_t)(i / rate * SECOND);
    threads = connections < THREADS ? connections : THREADS;
    pthread_t running[THREADS];
    struct share shares[THREADS];
    for (int i = 0; i < threads; i++) {
        int from = connections * i / threads, to = connections * (i + 1) / threads;
        shares[i] = (struct share){i, count, all + from, to - from};
        if (pthread_create(running + i, NULL, work, shares + i)) fail("thread");
    }
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    for (struct found *one = found; one < found + count; one++)
        printf("%lld %lld %lld %lld %d\n", (long long)(one->due - start),
               (long long)(one->free - start), (long long)(one->sent - start),
               (long long)(one->answered - start), one->status);
    return 0;
}
