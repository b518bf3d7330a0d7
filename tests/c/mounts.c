/* mount.c and detached.c, with what they keep to themselves: the ways of older kernels are tried on every
 * one. */
#include "check.h"
#include "../../csrc/mount.c"
#include "../../csrc/detached.c"
#include <sys/stat.h>

static int has(int mount, const char *name)
{
    struct stat found;

    return fstatat(mount, name, &found, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A list of texts: each ended by NUL, the last by another. */
static const char *two(const char *first, const char *second)
{
    static char list[20000];
    size_t n = strlen(first) + 1;

    memcpy(list, first, n);
    memcpy(list + n, second, strlen(second) + 1);
    list[n + strlen(second) + 1] = 0;
    return list;
}

TEST(a_file_system_is_made_with_its_options)
{
    int mount = OPENED(make_mount("tmpfs", "size=64k\0mode=751\0", MOUNT_ATTR_NOEXEC));
    struct stat found;

    SAME(fstat(mount, &found), 0);
    SAME(found.st_mode & 07777, 0751);
    close(mount);
    mount = OPENED(make_mount("tmpfs", NULL, 0));
    close(mount);
    SAME(make_mount("tmpfs", "nonsense=1\0", 0), -EINVAL);
    SAME(make_mount("no-such-file-system", "", 0), -ENODEV);
}

TEST(an_option_s_name_has_its_limits)
{
    char option[200];

    memset(option, 'k', sizeof option);
    option[150] = 0;
    option[151] = 0;
    SAME(make_mount("tmpfs", option, 0), -ENAMETOOLONG);
    option[70] = '=';
    SAME(make_mount("tmpfs", option, 0), -ENAMETOOLONG);
    option[10] = '=';
    SAME(make_mount("tmpfs", option, 0), -EINVAL);
}

static void lay_out(const char *one, const char *other)
{
    char name[9000];

    make_directory(one);
    make_directory(other);
    snprintf(name, sizeof name, "%s/first", one);
    make_file(name, "");
    snprintf(name, sizeof name, "%s/second", other);
    make_file(name, "");
    make_directory("upper");
    make_directory("work");
}

static void overlay_shows_both(int mount)
{
    OPENED(mount);
    CHECK(has(mount, "first") && has(mount, "second"));
    SAME(mkdirat(mount, "made", 0755), 0);
    close(mount);
    CHECK(is_there("upper/made"));
}

TEST(directories_lie_over_each_other)
{
    lay_out("a", "b");
    overlay_shows_both(make_overlay(two(at("a"), at("b")), -1, at("upper"), at("work"), PE_OVERLAY_VOLATILE));
}

TEST(the_way_of_older_kernels_gives_the_same)
{
    lay_out("a", "b");
    overlay_shows_both(make_joined(two(at("a"), at("b")), -1, at("upper"), at("work"), 0));
}

TEST(any_name_will_do_for_either_way)
{
    char deep[700];

    memset(deep, 'x', sizeof deep);
    for (int i = 200; i < 690; i += 201)
        deep[i] = '/';
    deep[650] = 0;
    lay_out("a:b,c\\d e\"f", deep);
    overlay_shows_both(make_overlay(two(at("a:b,c\\d e\"f"), at(deep)), -1, at("upper"), at("work"), 0));
    rmdir(at("upper/made"));
    make_directory("work2");
    overlay_shows_both(make_joined(two(at("a:b,c\\d e\"f"), at(deep)), -1, at("upper"), at("work2"), 0));
}

TEST(a_read_only_overlay_is_read_only)
{
    lay_out("a", "b");
    int mount = OPENED(make_overlay(two(at("a"), at("b")), -1, NULL, NULL, PE_OVERLAY_READONLY));
    SAME(mkdirat(mount, "made", 0755), -1);
    SAME(errno, EROFS);
    close(mount);
}

TEST(a_missing_layer_is_missing)
{
    lay_out("a", "b");
    SAME(make_overlay(two(at("a"), at("gone")), -1, at("upper"), at("work"), 0), -ENOENT);
    SAME(make_overlay(two(at("a"), at("b")), -1, at("gone"), at("work"), 0), -ENOENT);
    SAME(make_overlay(two(at("a"), at("b")), -1, at("upper"), at("gone"), 0), -ENOENT);
    SAME(make_overlay(two(at("a"), at("b/second")), -1, at("upper"), at("work"), 0), -ENOTDIR);
    SAME(make_joined(two(at("a"), at("gone")), -1, at("upper"), at("work"), 0), -ENOENT);
}

TEST(too_many_layers_for_older_kernels_are_told)
{
    static char list[4096];
    char *end = list;

    make_directory("a");
    for (int i = 0; i < 20; i++)
        end += sprintf(end, "%s", at("a")) + 1;
    SAME(make_joined(list, -1, NULL, NULL, 0), -E2BIG);
}

TEST(a_mount_may_lie_below)
{
    int below = OPENED(make_mount("tmpfs", NULL, 0));

    SAME(mkdirat(below, "lowest", 0755), 0);
    make_directory("a/first");
    const char *one = two(at("a"), "");
    int mount = make_overlay(one, below, NULL, NULL, 0);
    if (mount != -EINVAL) { /* before Linux 6.15 it must be part of a mount namespace */
        CHECK(has(mount, "lowest") && has(mount, "first"));
        close(mount);
    }
    close(below);
}

static long mount_namespace(void)
{
    struct stat found;

    SAME(stat("/proc/thread-self/ns/mnt", &found), 0);
    return (long)found.st_ino;
}

/* What pe_overlay() falls back to where a mount that is nowhere cannot be a layer. */
static int layered(const char *lowers, int below)
{
    struct layering wish = {.lowers = lowers, .below = below};

    return on_spawner(overlay_on_thread, &wish);
}

TEST(a_mount_may_lie_below_on_older_kernels_too)
{
    int below = OPENED(pe_empty_mount());
    long before = mount_namespace();

    make_directory("a/first");
    make_directory("b/second");
    const char *one = two(at("a"), "");
    int inner = OPENED(layered(one, below));
    close(below);
    one = two(at("b"), "");
    int outer = OPENED(layered(one, inner));
    close(inner);
    CHECK(has(outer, "first") && has(outer, "second"));
    close(outer);
    SAME(mount_namespace(), before);
    SAME(layered(two(at("gone"), ""), -1), -ENOENT);
}

static int namespace_of_thread(void *arg, char *stack_top)
{
    struct stat top;

    (void)stack_top;
    *(long *)arg = mount_namespace();
    return stat("/", &top) == 0 ? (int)top.st_ino : -1;
}

TEST(a_thread_that_went_elsewhere_is_back)
{
    struct stat top;
    long where = 0;
    int below = OPENED(pe_empty_mount());

    SAME(stat("/", &top), 0);
    make_directory("a");
    int mount = OPENED(layered(two(at("a"), ""), below));
    SAME(on_spawner(namespace_of_thread, &where), (int)top.st_ino);
    SAME(where, mount_namespace());
    close(mount);
    close(below);
}

TEST(a_mount_vanishes_with_its_fd)
{
    lay_out("a", "b");
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    int before = 0, after = 0;

    while (fgets(line, sizeof line, file))
        before++;
    int mount = OPENED(pe_overlay(two(at("a"), at("b")), -1, at("upper"), at("work"), 0));
    close(mount);
    rewind(file);
    while (fgets(line, sizeof line, file))
        after++;
    fclose(file);
    SAME(after, before);
}
