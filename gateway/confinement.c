/*
 * Landlock: everything may be read, since a reload reads files that are not known yet (and libpq, OpenSSL and the resolver theirs), nothing
 * may be written, made, removed or executed, except in the directories of files that are still to be made. Rights that a kernel does not
 * know must not be asked for, so they go by its version.
 *
 * seccomp: a list of what is refused, with EPERM, not of what is allowed: that would depend on the versions of seven libraries, and on what
 * they do on the day something fails. The service unit has such a list (systemd keeps it), this one holds without it.
 */
#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#if !defined(LANDLOCK_ACCESS_FS_REFER)
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#if !defined(LANDLOCK_ACCESS_FS_TRUNCATE)
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

static const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t appending = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;
static const uint64_t writing =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;

/* Of the version of the kernel's Landlock, the rights that we give up, and those we keep. */
static uint64_t rights_of(long version)
{
    uint64_t rights =
        reading | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
        LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
        LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
        LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
    rights |= version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    rights |= version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    return rights;
}

static bool allow_beneath(int ruleset, const char *directory, uint64_t rights)
{
    struct landlock_path_beneath_attr beneath = {
        .allowed_access = rights, .parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    bool is_allowed = beneath.parent_fd >= 0 &&
                      syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) == 0;
    if (beneath.parent_fd >= 0) {
        (void)close(beneath.parent_fd);
    }
    return is_allowed;
}

/** Files beside this one. If that cannot be allowed it stays forbidden: whoever makes the file will be told. */
static void allow_beside(int ruleset, const char *file, uint64_t rights)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(file, '/');
    size_t length = slash == file ? 1 : slash ? (size_t)(slash - file) : 0;
    if (length < sizeof directory) {
        memcpy(directory, file, length);
        directory[length] = '\0';
        (void)allow_beneath(ruleset, length > 0 ? directory : ".", reading | rights);
    }
}

static bool confine_files(const struct confinement_options *options)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        return false;
    }
    const struct landlock_ruleset_attr handled = {.handled_access_fs = rights_of(version)};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (ruleset < 0) {
        return false;
    }
    for (size_t i = 0; options->new_files && options->new_files[i]; i++) {
        allow_beside(ruleset, options->new_files[i], writing);
    }
    if (options->appended_file) {
        allow_beside(ruleset, options->appended_file, appending);
    }
    bool is_confined =
        allow_beneath(ruleset, "/", reading) && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    (void)close(ruleset);
    return is_confined;
}

static bool confine_calls(const struct confinement_options *options)
{
    (void)options;
    static const int refused[] = {
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
        SCMP_SYS(ptrace),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(pidfd_getfd),
        SCMP_SYS(kcmp),
        SCMP_SYS(bpf),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(userfaultfd),
        SCMP_SYS(add_key),
        SCMP_SYS(request_key),
        SCMP_SYS(keyctl),
        SCMP_SYS(mount),
        SCMP_SYS(umount2),
        SCMP_SYS(move_mount),
        SCMP_SYS(open_tree),
        SCMP_SYS(fsopen),
        SCMP_SYS(fsmount),
        SCMP_SYS(mount_setattr),
        SCMP_SYS(pivot_root),
        SCMP_SYS(chroot),
        SCMP_SYS(setns),
        SCMP_SYS(unshare),
        SCMP_SYS(open_by_handle_at),
        SCMP_SYS(mknod),
        SCMP_SYS(mknodat),
        SCMP_SYS(init_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(delete_module),
        SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(reboot),
        SCMP_SYS(swapon),
        SCMP_SYS(swapoff),
        SCMP_SYS(acct),
        SCMP_SYS(quotactl),
        SCMP_SYS(personality),
        SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime),
        SCMP_SYS(adjtimex),
        SCMP_SYS(clock_adjtime),
        SCMP_SYS(sethostname),
        SCMP_SYS(setdomainname),
        SCMP_SYS(iopl),
        SCMP_SYS(ioperm),
        SCMP_SYS(syslog),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool is_made = filter != NULL;
    for (size_t i = 0; is_made && i < sizeof refused / sizeof *refused; i++) {
        /* Negative: this processor has no such call, and libseccomp leaves it out. */
        is_made = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0) == 0;
    }
    bool is_loaded = is_made && seccomp_load(filter) == 0; /* sets "no new privileges" as well */
    seccomp_release(filter);
    return is_loaded;
}

static bool forbid_dumps(const struct confinement_options *options)
{
    (void)options;
    const struct rlimit none = {0};
    return setrlimit(RLIMIT_CORE, &none) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static void confine_or_say(bool (*confine)(const struct confinement_options *options),
                           const struct confinement_options *options, const char *what)
{
    errno = 0;
    if (!confine(options)) {
        log_warn("not confined, continuing", LOG_TEXT("what", what), LOG_TEXT("err", strerror(errno)));
    }
}

void confine_process(const struct confinement_options *options)
{
    if (options->confines) {
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* if it fails, what follows says so */
        confine_or_say(confine_files, options, "files (Landlock)");
        confine_or_say(confine_calls, options, "system calls (seccomp)");
    }
    if (!options->may_dump_memory) {
        confine_or_say(forbid_dumps, options, "memory dumps");
    }
}
