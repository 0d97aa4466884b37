#include "syscall_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>

namespace minerva::engine {
namespace {

constexpr const char * kRefused[] = {
    // other programs and processes
    "execve",
    "execveat",
    "fork",
    "vfork",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "process_mrelease",
    "kcmp",
    "pidfd_getfd",
    "pidfd_send_signal",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "unshare",
    "setns",
    "setpgid",
    "setsid",
    "personality",
    // shared with other processes
    "shmget",
    "shmat",
    "shmctl",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "mq_open",
    "mq_unlink",
    // the network (AF_UNIX: below)
    "connect",
    "socketpair",
    // file systems, and what landlock does not cover of files
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "mount_setattr",
    "swapon",
    "swapoff",
    "quotactl",
    "quotactl_fd",
    "mknod",
    "mknodat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utime",
    "utimes",
    "futimesat",
    "utimensat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "truncate",
    "name_to_handle_at",
    "open_by_handle_at",
    "fanotify_init",
    "fanotify_mark",
    // kernel interfaces with a history
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "keyctl",
    "add_key",
    "request_key",
    "modify_ldt",
    "uselib",
    "sysfs",
    "ustat",
    "lookup_dcookie",
    "vmsplice",
    // the machine
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "syslog",
    "acct",
    "iopl",
    "ioperm",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "vhangup",
    // who we are
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
};

// Debian 12's libseccomp is older than these. Their numbers are the same on every architecture.
constexpr int kRefusedNumbers[] = {
    452,  // fchmodat2
    463,  // setxattrat
    466,  // removexattrat
    467,  // open_tree_attr
};

// Namespaces. CLONE_NEWTIME has the bits of a signal number in clone(), and is only an argument of clone3().
constexpr int kNamespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                               CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};

constexpr int kSocketTypeMask = 0xf;  // the rest are flags

class Filter {
  public:
    Filter() : context_(seccomp_init(SCMP_ACT_ALLOW), seccomp_release) {
        if (context_ == nullptr) {
            error_ = -ENOMEM;
            return;
        }
        // A tree instead of a list: only a few comparisons per call.
        note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
        note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
    }

    void refuse(const char * name, int error, std::initializer_list<scmp_arg_cmp> when = {}) {
        const int number = seccomp_syscall_resolve_name(name);
        if (number != __NR_SCMP_ERROR) refuse(number, error, when);  // otherwise this libseccomp does not know the call
    }
    void refuse(int number, int error, std::initializer_list<scmp_arg_cmp> when = {}) {
        if (context_ == nullptr) return;
        note(seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(static_cast<unsigned>(error)), number,
                                    static_cast<unsigned>(when.size()), when.begin()));
    }

    std::string load() {
        if (error_ == 0) note(seccomp_load(context_.get()));
        return error_ == 0 ? "" : std::string("seccomp: ") + std::strerror(-error_);
    }

  private:
    void note(int result) {
        if (result < 0 && error_ == 0) error_ = result;
    }

    std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
    int error_ = 0;  // the first error
};

}  // namespace

bool can_filter_syscalls() {
    const unsigned action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

std::string refuse_calls() {
    const auto self = static_cast<scmp_datum_t>(getpid());
    Filter filter;
    for (const char * const name : kRefused) filter.refuse(name, EPERM);
    for (const int number : kRefusedNumbers) filter.refuse(number, EPERM);
    // Allows threads, but neither processes nor namespaces. clone3() has its flags in memory, where a filter cannot
    // look. The thread library uses clone() if clone3() does not exist.
    filter.refuse("clone3", ENOSYS);
    filter.refuse("clone", EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)});
    for (const int flag : kNamespaces) {
        const auto bit = static_cast<scmp_datum_t>(static_cast<unsigned>(flag));
        filter.refuse("clone", EPERM, {SCMP_A0(SCMP_CMP_MASKED_EQ, bit, bit)});
    }
    // Allowed for this process only.
    filter.refuse("kill", EPERM, {SCMP_A0_32(SCMP_CMP_NE, self)});
    filter.refuse("tgkill", EPERM, {SCMP_A0_32(SCMP_CMP_NE, self)});
    filter.refuse("prlimit64", EPERM, {SCMP_A0_32(SCMP_CMP_NE, 0)});
    filter.refuse("setpriority", EPERM, {SCMP_A1_32(SCMP_CMP_NE, 0)});
    filter.refuse("ioctl", EPERM, {SCMP_A1_32(SCMP_CMP_EQ, TIOCSTI)});
    filter.refuse("socket", EPERM, {SCMP_A0_32(SCMP_CMP_NE, AF_UNIX)});
    // A datagram reaches another process without a connection.
    for (const int type : {SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
        filter.refuse("socket", EPERM,
                      {SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
                       SCMP_A1_32(SCMP_CMP_MASKED_EQ, kSocketTypeMask, static_cast<scmp_datum_t>(type))});
    }
    return filter.load();
}

std::string refuse_new_sockets() {
    Filter filter;
    for (const char * const name : {"socket", "bind", "listen"}) filter.refuse(name, EPERM);
    return filter.load();
}

}  // namespace minerva::engine
