/*
 * Runs a program with the system calls that a service unit allows, as systemd would: unit_filter FILE PROGRAM [WORD...]. FILE holds
 * the names of the calls that are allowed, one a line; every other is refused with EPERM, which is the unit's SystemCallErrorNumber.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stop(const char *what)
{
    fprintf(stderr, "unit_filter: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/** Names that this processor or libseccomp does not know are passed over, as systemd does. */
static void allow(scmp_filter_ctx filter, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);
    if (call != __NR_SCMP_ERROR && call >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0) {
        stop(name);
    }
}

int main(int argc, char **argv)
{
    char name[128];
    FILE *names = argc > 2 ? fopen(argv[1], "re") : NULL;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!names || !filter) {
        stop("needs FILE and PROGRAM");
    }
    while (fgets(name, sizeof name, names)) {
        name[strcspn(name, "\n")] = '\0';
        allow(filter, name);
    }
    (void)fclose(names); /* only read */
    if (seccomp_load(filter) != 0) {
        stop("the filter");
    }
    seccomp_release(filter);
    (void)execv(argv[2], argv + 2); /* returns only when it fails */
    stop(argv[2]);
}
