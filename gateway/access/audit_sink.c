/*
 * A line is one write to a descriptor that appends, so lines of several processes do not mix in a file. What a full disk cut
 * off is ended before the next line, so that only the torn one is lost to a reader.
 *
 * syslog(3) is not used: it waits for a socket that is full.
 */
#include "access/audit_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum { DATAGRAM_MAX_BYTES = 8192, PRIORITY = 10 * 8 + 6 /* authpriv.info */ };

/** -1 after logging why. Neither a link nor a pipe: what is written must be there to be read later. */
static int open_file(const char *path)
{
    struct stat status;
    const char *problem = "it is not a regular file";
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        return fd;
    }
    if (fd < 0) {
        problem = strerror(errno);
    } else {
        (void)close(fd); /* nothing was written */
    }
    log_error("audit file could not be opened", LOG_TEXT("file", path), LOG_TEXT("err", problem));
    return -1;
}

static bool connect_syslog(struct audit_sink *sink)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s",
                   sink->syslog); /* checked with the options */
    if (sink->syslog_fd >= 0) {
        (void)close(sink->syslog_fd);
    }
    sink->syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sink->syslog_fd >= 0 &&
        connect(sink->syslog_fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(sink->syslog_fd);
        sink->syslog_fd = -1;
    }
    return sink->syslog_fd >= 0;
}

bool audit_sink_open(struct audit_sink *sink, const char *file, const char *syslog)
{
    *sink = (struct audit_sink){.file = file, .syslog = syslog, .file_fd = -1, .syslog_fd = -1};
    if (file) {
        sink->file_fd = open_file(file);
    }
    if (syslog && !connect_syslog(sink)) {
        log_warn("audit syslog is not there, continuing", LOG_TEXT("socket", syslog),
                 LOG_TEXT("err", strerror(errno)));
    }
    return !file || sink->file_fd >= 0;
}

bool audit_sink_reopen(struct audit_sink *sink)
{
    int fd = sink->file ? open_file(sink->file) : -1;
    if (fd >= 0) {
        (void)close(sink->file_fd); /* what was written is the kernel's */
        sink->file_fd = fd;
        sink->is_torn = false;
    }
    return !sink->file || fd >= 0;
}

void audit_sink_close(struct audit_sink *sink)
{
    if (sink->file_fd >= 0) {
        (void)close(sink->file_fd);
    }
    if (sink->syslog_fd >= 0) {
        (void)close(sink->syslog_fd);
    }
    sink->file_fd = -1;
    sink->syslog_fd = -1;
}

static bool append(struct audit_sink *sink, const char *line, size_t length)
{
    if (sink->is_torn && write(sink->file_fd, "\n", 1) != 1) {
        return false;
    }
    sink->is_torn = false;
    ssize_t written;
    do {
        written = write(sink->file_fd, line, length);
    } while (written < 0 && errno == EINTR);
    sink->is_torn = written > 0 && (size_t)written < length;
    errno = sink->is_torn ? ENOSPC : errno; /* so the next one would say */
    return written == (ssize_t)length;
}

/** RFC 3164, as syslog(3) sends it to a local daemon; the line's newline stays behind. */
static bool send_datagram(struct audit_sink *sink, const char *line, size_t length)
{
    char datagram[DATAGRAM_MAX_BYTES];
    char date[32];
    struct tm local = {0};
    const time_t now_s = (time_t)(clock_wall_ms() / 1000);
    (void)localtime_r(&now_s, &local); /* NULL only for years beyond int */
    (void)strftime(date, sizeof date, "%b %e %H:%M:%S", &local);
    int printed = snprintf(datagram, sizeof datagram, "<%d>%s sophia-gateway[%d]: %.*s", PRIORITY, date,
                           (int)getpid(), (int)length - 1, line);
    if (printed < 0 || (size_t)printed >= sizeof datagram) {
        return false;
    }
    if (sink->syslog_fd < 0 && !connect_syslog(sink)) {
        return false;
    }
    if (send(sink->syslog_fd, datagram, (size_t)printed, MSG_NOSIGNAL) == printed) {
        return true;
    }
    if (errno == EAGAIN || errno == ENOBUFS) { /* it is there, and has enough to do */
        return false;
    }
    return connect_syslog(sink) && /* it was started anew */
           send(sink->syslog_fd, datagram, (size_t)printed, MSG_NOSIGNAL) == printed;
}

bool audit_sink_write(struct audit_sink *sink, const char *line, size_t length)
{
    bool is_in_file = !sink->file || append(sink, line, length);
    bool is_sent = !sink->syslog || send_datagram(sink, line, length);
    return is_in_file && is_sent;
}
