/* What a child does between being cloned and running its program. */
#include "container.h"
#include <fcntl.h>
#include <linux/if.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static const char HOSTS[] = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                            "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n"
                            "ff02::2\tip6-allrouters\n";
static const char RESOLV[] = "nameserver 192.0.2.1\n";

static void must(int answer, const char *doing)
{
    if (answer < 0)
        die(doing);
}

static void put(const char *path, int flags, const char *text)
{
    int file = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
    size_t n = strlen(text);

    if (write(file, text, n) != (ssize_t)n)
        die(path);
    close(file);
}

/* With one id, who shall be root may say so himself. */
static void be_root_inside(const struct birth *birth)
{
    char map[32];

    put("/proc/self/setgroups", 0, "deny");
    snprintf(map, sizeof map, "0 %u 1", birth->user);
    put("/proc/self/uid_map", 0, map);
    snprintf(map, sizeof map, "0 %u 1", birth->group);
    put("/proc/self/gid_map", 0, map);
    must((int)SYS(setresgid, 0, 0, 0), "become the root group");
    must((int)SYS(setresuid, 0, 0, 0), "become root");
}

static void mount_root(const struct birth *birth)
{
    char options[4096];

    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work%s",
             birth->recipe->lowers, birth->home, birth->home,
             birth->recipe->rootless ? ",volatile,userxattr" : ",volatile");
    must(chdir(birth->recipe->directory), "enter the directory");
    must(mount("overlay", "mnt", "overlay", 0, options), "mount the overlay");
}

/* Who may make no device binds the host's. */
static void make_node(const char *path, int rootless, dev_t device)
{
    char host[32];

    if (!rootless) {
        must(mknod(path, S_IFCHR | 0666, device), path);
        return;
    }
    snprintf(host, sizeof host, "/%s", path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    must(mount(host, path, NULL, MS_BIND, NULL), path);
    must(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NOEXEC, NULL), path);
}

static void fill_dev(int rootless)
{
    static const struct node {
        const char *path;
        int major, minor;
    } nodes[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                 {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"},
        {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"},
        {"pts/ptmx", "dev/ptmx"},          {"/proc/kcore", "dev/core"},
    };
    static const char *const directories[] = {"dev/pts", "dev/mqueue", "dev/shm"};

    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        make_node(nodes[i].path, rootless, makedev(nodes[i].major, nodes[i].minor));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        must(symlink(links[i][0], links[i][1]), links[i][1]);
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        must(mkdir(directories[i], 0755), directories[i]);
}

static void mount_all(int rootless)
{
    must(mount("proc", "proc", "proc", QUIET, NULL), "mount proc");
    put("proc/sys/net/ipv4/ip_unprivileged_port_start", 0, "0");
    put("proc/sys/net/ipv4/ping_group_range", 0, rootless ? "0 0" : "0 2147483647");
    must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "mount dev");
    fill_dev(rootless);
    must(
        mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              rootless ? "newinstance,ptmxmode=0666,mode=0620" : "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        "mount devpts");
    must(mount("mqueue", "dev/mqueue", "mqueue", QUIET, NULL), "mount mqueue");
    must(mount("shm", "dev/shm", "tmpfs", QUIET, "mode=1777,size=67108864"), "mount shm");
    must(mount("sysfs", "sys", "sysfs", QUIET | MS_RDONLY, NULL), "mount sys");
    must(mount("cgroup", "sys/fs/cgroup", "cgroup2", QUIET | MS_RDONLY, NULL), "mount cgroup");
}

/* In a small file system of their own, which only their three places in the container keep. */
static void mount_files(void)
{
    must(mount("tmpfs", "../files", "tmpfs", QUIET, "mode=755,size=1m"), "mount files");
    put("../files/hosts", O_CREAT, HOSTS);
    put("../files/hostname", O_CREAT, "limit\n");
    put("../files/resolv.conf", O_CREAT, RESOLV);
    must(mount("../files/hosts", "etc/hosts", NULL, MS_BIND, NULL), "mount hosts");
    must(mount("../files/hostname", "etc/hostname", NULL, MS_BIND, NULL), "mount hostname");
    must(mount("../files/resolv.conf", "etc/resolv.conf", NULL, MS_BIND, NULL), "mount resolv.conf");
}

static void cover(const struct recipe *recipe)
{
    const char *empty = NULL, *null = recipe->rootless ? "/dev/null" : "dev/null";

    for (const struct path *path = recipe->locked; path->name; path++) {
        must(mount(path->name, path->name, NULL, MS_BIND | MS_REC, NULL), path->name);
        must(mount(NULL, path->name, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL), path->name);
    }
    for (const struct path *path = recipe->masked; path->name; path++) {
        if (!path->is_directory)
            must(mount(null, path->name, NULL, MS_BIND, NULL), path->name);
        else if (empty)
            must(mount(empty, path->name, NULL, MS_BIND, NULL), path->name);
        else
            must(mount("none", empty = path->name, "tmpfs", MS_RDONLY, "size=0"), path->name);
    }
}

static void bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    must(ioctl(any, SIOCSIFFLAGS, &request), "bring lo up");
    close(any);
}

static void leave_host(void)
{
    must((int)SYS(pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "leave the old root");
    must(sethostname("limit", 5), "sethostname");
    bring_loopback_up();
    must((int)SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0), "join a keyring");
    must(chdir("/"), "chdir");
    umask(0022);
}

static void enter(const struct birth *birth)
{
    for (int fd = 0; fd < 3; fd++)
        must(dup2(birth->stdio[fd], fd), "dup2");
    if (birth->recipe->rootless)
        be_root_inside(birth);
    if (birth->tasks >= 0 && write(birth->tasks, "0", 1) != 1)
        die("join the pids cgroup");
    must(unshare(CLONE_NEWTIME), "unshare time");
    setsid();
    umask(0);
    must(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "slave");
}

void become(const void *arg)
{
    static char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                  "HOSTNAME=limit", "HOME=/root", NULL};
    const struct birth *birth = arg;

    stamps[CLONE] = now();
    enter(birth);
    mount_root(birth);
    stamps[ROOT] = now();
    must(chdir("mnt"), "enter the root");
    mount_all(birth->recipe->rootless);
    mount_files();
    stamps[MOUNTS] = now();
    cover(birth->recipe);
    stamps[COVERS] = now();
    leave_host();
    stamps[PIVOT] = now();
    drop_privileges(birth->recipe);
    stamps[PRIVILEGES] = now();
    execve(birth->recipe->argv[0], birth->recipe->argv, environment);
    die(birth->recipe->argv[0]);
}
