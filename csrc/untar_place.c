/* Where entries become files: each made as new in its directory, which is held open, so that no name is ever
 * looked up on a way that an archive could have laid.  What is there already goes first, unless both are
 * directories. */
#include "untar.h"
#include <string.h>
#include <sys/sysmacros.h>

enum { MOST_TRIES = 3, NAMED = FD_NAME + 256 };

/* The path of *name* in *directory*, for calls that take no fd. */
static void name_in(int directory, const char *name, char path[NAMED])
{
    name_fd(directory, path);
    size_t n = strlen(path);
    path[n] = '/';
    strcpy(path + n + 1, name); /* the kernel has taken it as a name, so it is short enough */
}

static void times_of(const struct tar_entry *entry, struct timespec times[2])
{
    times[0] = times[1] = (struct timespec){.tv_sec = entry->mtime, .tv_nsec = entry->mtime_ns};
}

/* Take away what is in the way.  *gone* was not a directory: then what is put there hides what lies below it
 * in other layers. */
static int make_room(struct place *place, struct directory *parent, const char *name, int *hides)
{
    struct stat is;

    TRY(SYS(newfstatat, parent->fd, name, &is, AT_SYMLINK_NOFOLLOW));
    if (!S_ISDIR(is.st_mode)) {
        *hides = 1;
        return (int)SYS(unlinkat, parent->fd, name, 0);
    }
    TRY(pe_remove_tree(parent->fd, name));
    parent->touched = 1;
    return let_go_below(place);
}

static mode_t kind_of(char type)
{
    return type == '3' ? S_IFCHR : type == '4' ? S_IFBLK : S_IFIFO;
}

static int make_file(struct place *place, struct directory *parent, const char *name)
{
    enum { HOW = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };

    place->file = (int)SYS(openat, parent->fd, name, HOW, 0644);
    return place->file < 0 ? place->file : 0;
}

/* A link to what is there already, in this layer; to itself it is one. */
static int make_link(const char *name, struct directory *target_parent, const char *target,
                     struct directory *parent)
{
    struct stat is, there;

    if (SYS(newfstatat, target_parent->fd, target, &is, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(is.st_mode) ||
        (S_ISCHR(is.st_mode) && !is.st_rdev))
        return WRONG(LINK);
    int made = (int)SYS(linkat, target_parent->fd, target, parent->fd, name, 0);
    if (made == -EEXIST && SYS(newfstatat, parent->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        there.st_ino == is.st_ino)
        return 0;
    return made;
}

static int open_target(struct place *place, const struct tar_entry *entry, struct directory **parent,
                       const char **name)
{
    size_t length;

    TRY(clean_name(entry->link, place->target));
    *name = split_name(place->target, &length);
    if (!**name)
        return WRONG(LINK);
    int opened = hold_directory(place, place->target, length, 0, parent);
    return opened == -ENOENT || opened == WRONG(NOT_DIRECTORY) ? WRONG(LINK) : opened;
}

static int link_entry(struct place *place, const struct tar_entry *entry, struct directory *parent,
                      const char *name)
{
    struct directory *target_parent;
    const char *target;

    place->directories.pinned = parent;
    int opened = open_target(place, entry, &target_parent, &target);
    place->directories.pinned = NULL;
    TRY(opened);
    return make_link(name, target_parent, target, parent);
}

static int make_device(struct place *place, const struct tar_entry *entry, struct directory *parent,
                       const char *name)
{
    dev_t device = entry->type == '6' ? 0 : makedev(entry->major, entry->minor);

    if (entry->type == '3' && !device)
        return WRONG(WHITEOUT); /* an overlay would take it for one */
    if (entry->major > 0xfff || entry->minor > 0xfffff)
        return WRONG(HEADER);
    int made = (int)SYS(mknodat, parent->fd, name, kind_of(entry->type) | 0600, device);
    if (made == -EPERM && entry->type != '6') {
        place->count.lost_devices++; /* docker leaves them out too, where it has no root */
        return 1;
    }
    return made;
}

/* 0, -EEXIST, or 1: it was left out. */
static int make_entry(struct place *place, const struct tar_entry *entry, struct directory *parent,
                      const char *name)
{
    switch (entry->type) {
    case '0':
        return make_file(place, parent, name);
    case '1':
        return link_entry(place, entry, parent, name);
    case '2':
        if (!entry->link[0])
            return WRONG(LINK);
        return (int)SYS(symlinkat, entry->link, parent->fd, name);
    case '3':
    case '4':
    case '6':
        return make_device(place, entry, parent, name);
    case '5':
        return (int)SYS(mkdirat, parent->fd, name, 0700);
    default:
        return WRONG(TYPE);
    }
}

/* Owner, mode and attributes of a directory that is there by now; its mode and times come last of all. */
static int dress_directory(struct place *place, const struct tar_entry *entry, struct tar_text records,
                           int hides)
{
    struct directory *directory;

    TRY(hold_directory(place, place->name, strlen(place->name), 0, &directory));
    TRY(set_owner(place, directory->fd, NULL, entry));
    directory->group = place->flags & PE_UNTAR_ONE_OWNER ? directory->group : entry->gid;
    directory->mode = entry->mode & 07777;
    directory->modified = (struct timespec){.tv_sec = entry->mtime, .tv_nsec = entry->mtime_ns};
    directory->unlike = directory->touched = 1;
    TRY(set_attributes(place, records, directory->fd, NULL));
    return hides ? make_opaque(place, directory) : 0;
}

/* The same for links, devices and fifos, by name: they must not be opened. */
static int dress_by_name(struct place *place, const struct tar_entry *entry, struct tar_text records,
                         struct directory *parent, const char *name)
{
    struct timespec times[2];
    char path[NAMED];

    times_of(entry, times);
    /* group: a directory may hand its own on */
    if (entry->uid != place->user || entry->gid != place->group || parent->group != entry->gid)
        TRY(set_owner(place, parent->fd, name, entry));
    if (records.size) {
        name_in(parent->fd, name, path);
        TRY(set_attributes(place, records, -1, path));
    }
    if (entry->type != '2')
        TRY(SYS(fchmodat, parent->fd, name, entry->mode & 07777));
    return (int)SYS(utimensat, parent->fd, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Whether the entry is a directory that is there already. */
static int is_again(const struct tar_entry *entry, struct directory *parent, const char *name)
{
    struct stat is;

    return entry->type == '5' && SYS(newfstatat, parent->fd, name, &is, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(is.st_mode);
}

static int put(struct place *place, const struct tar_entry *entry, struct tar_text records)
{
    size_t length;
    const char *name = split_name(place->name, &length);
    struct directory *parent = NULL;
    int made = -EEXIST, hides = 0;

    for (int tries = 0; made == -EEXIST && tries < MOST_TRIES; tries++) {
        if (tries)
            TRY(make_room(place, parent, name, &hides));
        TRY(hold_directory(place, place->name, length, MAKE, &parent));
        made = make_entry(place, entry, parent, name);
        if (made == -EEXIST && is_again(entry, parent, name))
            made = 0;
    }
    if (made)
        return made < 0 ? made : 0;
    parent->touched = 1;
    if (entry->type == '5')
        return dress_directory(place, entry, records, hides);
    return entry->type == '0' || entry->type == '1' ? 0 : dress_by_name(place, entry, records, parent, name);
}

/* A whiteout hides what lower layers have, never what this one has; a directory of this one lets nothing
 * through it then. */
static int put_whiteout(struct place *place)
{
    size_t length;
    const char *name = split_name(place->name, &length);
    struct directory *parent, *directory;
    struct stat is;

    place->count.whiteouts++;
    TRY(hold_directory(place, place->name, length, MAKE, &parent));
    parent->touched = 1;
    int made = (int)SYS(mknodat, parent->fd, name, S_IFCHR, 0);
    if (made != -EEXIST)
        return made;
    TRY(SYS(newfstatat, parent->fd, name, &is, AT_SYMLINK_NOFOLLOW));
    if (!S_ISDIR(is.st_mode))
        return 0;
    TRY(hold_directory(place, place->name, strlen(place->name), 0, &directory));
    return make_opaque(place, directory);
}

static int put_opaque(struct place *place)
{
    struct directory *directory;

    place->count.whiteouts++;
    TRY(hold_directory(place, place->name, strlen(place->name), MAKE, &directory));
    return make_opaque(place, directory);
}

int place_begin(struct place *place, const struct tar_entry *entry, struct tar_text records)
{
    if (entry->type < '0' || entry->type > '6')
        return WRONG(TYPE);
    TRY(clean_name(entry->name, place->name));
    switch (TRY(whiteout_kind(place->name))) {
    case NAME_NOTHING:
        return 0;
    case NAME_WHITEOUT:
        return put_whiteout(place);
    case NAME_OPAQUE:
        return put_opaque(place);
    default:
        if (place->name[0])
            return put(place, entry, records);
        return entry->type == '5' ? dress_directory(place, entry, records, 0) : WRONG(ROOT);
    }
}

int place_data(struct place *place, const char *data, size_t size, uint64_t offset)
{
    if (place->file < 0)
        return 0; /* of a whiteout: nobody wants it */
    while (size) {
        long written = SYS(pwrite64, place->file, data, size, offset);
        if (written == -EINTR)
            continue;
        TRY(written);
        data += written;
        size -= (size_t)written;
        offset += (size_t)written;
    }
    return 0;
}

static int dress_file(struct place *place, const struct tar_entry *entry, struct tar_text records)
{
    mode_t mode = entry->mode & 07777;
    struct timespec times[2];
    struct stat is;

    if (entry->sparse.kind)
        TRY(SYS(ftruncate, place->file, entry->sparse.real_size));
    /* looking costs less than setting what is right already; umask and directory have had a say in it */
    TRY(SYS(fstat, place->file, &is));
    if (is.st_uid != entry->uid || is.st_gid != entry->gid)
        TRY(set_owner(place, place->file, NULL, entry));
    TRY(set_attributes(place, records, place->file, NULL));
    if ((is.st_mode & 07777) != mode || records.size)
        TRY(SYS(fchmod, place->file, mode));
    times_of(entry, times);
    return (int)SYS(utimensat, place->file, NULL, times, 0);
}

int place_end(struct place *place, const struct tar_entry *entry, struct tar_text records)
{
    if (place->file < 0)
        return 0;
    int dressed = dress_file(place, entry, records);
    close_fd(&place->file);
    return dressed;
}

void place_drop(struct place *place)
{
    close_fd(&place->file);
    drop_directories(place);
}
