/* The directories of a layer that is being unpacked.
 *
 * Those used lately are held open, by the path they were asked for; the rest is found again when it is
 * needed. Nothing has to be remembered of a directory that was let go of: it has its mode and times by then,
 * and if something is put into it later, they are read first and put back afterwards.  So a million of them
 * take no more memory than fifty.
 *
 * Links on the way are followed as they would be in a container whose root this layer is, and never by the
 * kernel: each part of a path is opened by itself in the directory before it, and what a link says is put in
 * its place.  So every directory is kept by the one path that has no links and no "..", which leads elsewhere
 * only once a directory was removed: then all are let go of (let_go_below). */
#include "untar.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTERED = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, MOST_LINKS = 40, RIGHTS = 0700 };

static int let_go(struct directory *directory)
{
    struct timespec times[2] = {directory->modified, directory->modified};
    int done = 0;

    if (directory->unlike)
        done = (int)SYS(fchmod, directory->fd, directory->mode);
    if (directory->touched && done == 0)
        done = (int)SYS(utimensat, directory->fd, NULL, times, 0);
    free(directory->path);
    close_fd(&directory->fd);
    *directory = (struct directory){.fd = -1};
    return done;
}

int let_go_below(struct place *place)
{
    int failed = 0;

    for (int i = KEPT - 1; i > 0; i--)
        if (place->directories.kept[i].path) {
            int done = let_go(&place->directories.kept[i]);
            failed = done < 0 ? done : failed;
        }
    return failed;
}

int end_directories(struct place *place)
{
    int below = let_go_below(place), own = 0;

    if (place->directories.kept[0].path)
        own = let_go(&place->directories.kept[0]);
    return below < 0 ? below : own;
}

/* Whoever gives up an archive will remove what came of it. */
void drop_directories(struct place *place)
{
    for (int i = 0; i < KEPT; i++) {
        struct directory *directory = &place->directories.kept[i];
        directory->unlike = directory->touched = 0;
        if (directory->path)
            let_go(directory);
    }
}

static struct directory *use(struct place *place, struct directory *directory)
{
    directory->used = ++place->directories.turn;
    return directory;
}

/* One that is free, or was not used for longest. */
static int find_room(struct place *place, struct directory **room)
{
    struct directory *kept = place->directories.kept;

    *room = NULL;
    for (int i = 1; i < KEPT && !(*room && !(*room)->path); i++)
        if (&kept[i] != place->directories.pinned &&
            (!*room || !kept[i].path || kept[i].used < (*room)->used))
            *room = &kept[i];
    return (*room)->path ? let_go(*room) : 0;
}

/* Hold *fd*, which is closed whatever comes of it. */
static int keep(struct place *place, const char *path, size_t length, int fd, struct directory **kept)
{
    OWNED_FD owned = fd;
    struct stat found;

    TRY(SYS(fstat, fd, &found));
    TRY(find_room(place, kept));
    char *copy = strndup(path, length);
    if (!copy)
        return -ENOMEM;
    **kept = (struct directory){
        .path = copy,
        .length = length,
        .fd = owned,
        .group = found.st_gid,
        .mode = found.st_mode & 07777,
        .modified = found.st_mtim,
    };
    owned = -1;
    use(place, *kept);
    if ((found.st_mode & RIGHTS) != RIGHTS && place->user) { /* root needs no right to go in */
        TRY(SYS(fchmod, (*kept)->fd, RIGHTS));
        (*kept)->unlike = 1;
    }
    return 0;
}

int begin_directories(struct place *place, int fd)
{
    struct directory *root;

    for (int i = 0; i < KEPT; i++)
        place->directories.kept[i].fd = -1;
    place->file = -1;
    place->user = (uint32_t)SYS(geteuid);
    place->group = (uint32_t)SYS(getegid);
    int own = (int)TRY(SYS(openat, fd, ".", ENTERED));
    struct directory *first = &place->directories.kept[0];
    *first = (struct directory){.fd = -1};
    TRY(keep(place, "", 0, own, &root)); /* gets the second place, which is as good to begin in */
    *first = *root;
    *root = (struct directory){.fd = -1};
    return 0;
}

static struct directory *find(struct place *place, const char *path, size_t length)
{
    for (int i = 0; i < KEPT; i++) {
        struct directory *kept = &place->directories.kept[i];
        if (kept->path && kept->length == length && !memcmp(kept->path, path, length))
            return use(place, kept);
    }
    return NULL;
}

/* The one that is nearest above: the layer itself is above all. */
static struct directory *find_above(struct place *place, const char *path, size_t length)
{
    struct directory *best = &place->directories.kept[0];

    for (int i = 1; i < KEPT; i++) {
        struct directory *kept = &place->directories.kept[i];
        if (kept->path && kept->length < length && kept->length > best->length && path[kept->length] == '/' &&
            !memcmp(kept->path, path, kept->length))
            best = kept;
    }
    return use(place, best);
}

/* What we may not read we may still hold, if only by its place, and allow ourselves. */
static int enter_forbidden(struct place *place, int above, const char *name, const char *path, size_t length,
                           struct directory **found)
{
    char by_fd[FD_NAME];
    struct stat was;
    OWNED_FD held = (int)TRY(SYS(openat, above, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));

    TRY(SYS(fstat, held, &was));
    name_fd(held, by_fd);
    TRY(SYS(fchmodat, AT_FDCWD, by_fd, RIGHTS));
    TRY(keep(place, path, length, (int)TRY(SYS(openat, above, name, ENTERED)), found));
    (*found)->mode = was.st_mode & 07777;
    (*found)->unlike = 1;
    return 0;
}

/* A directory that no entry has told of, yet: docker's are like that, too. */
static int make_missing(struct place *place, struct directory *above, const char *name, const char *path,
                        size_t length, int opaque, struct directory **found)
{
    TRY(SYS(mkdirat, above->fd, name, RIGHTS));
    above->touched = 1;
    TRY(keep(place, path, length, (int)TRY(SYS(openat, above->fd, name, ENTERED)), found));
    (*found)->mode = 0755;
    (*found)->unlike = 1;
    if ((*found)->group != place->group && !(place->flags & PE_UNTAR_ONE_OWNER)) {
        TRY(SYS(fchown, (*found)->fd, place->user, place->group)); /* not the one it got from above */
        (*found)->group = place->group;
    }
    return opaque ? make_opaque(place, *found) : 0;
}

/* A whiteout with files below: they are new, and hide what was there before. */
static int replace_whiteout(struct place *place, struct directory *above, const char *name, const char *path,
                            size_t length, struct directory **found)
{
    TRY(SYS(unlinkat, above->fd, name, 0));
    return make_missing(place, above, name, path, length, 1, found);
}

/* Step into the last part of *path*, which lies in *above*; 1: it is a link. */
static int enter(struct place *place, struct directory *above, const char *path, int make,
                 struct directory **found)
{
    size_t length = strlen(path), parent;
    const char *name = split_name(path, &parent);
    struct stat is;
    int fd = (int)SYS(openat, above->fd, name, ENTERED);

    if (fd >= 0)
        return keep(place, path, length, fd, found);
    if (fd == -EACCES)
        return enter_forbidden(place, above->fd, name, path, length, found);
    if (fd == -ENOENT && make)
        return make_missing(place, above, name, path, length, 0, found);
    if (fd != -ENOTDIR && fd != -ELOOP)
        return fd;
    TRY(SYS(newfstatat, above->fd, name, &is, AT_SYMLINK_NOFOLLOW));
    if (S_ISLNK(is.st_mode))
        return 1;
    if (S_ISCHR(is.st_mode) && is.st_rdev == 0 && make)
        return replace_whiteout(place, above, name, path, length, found);
    return WRONG(NOT_DIRECTORY);
}

/* On the way to a directory: the path that was found to be one, and what is left to go. */
struct walk {
    char real[LONGEST_NAME + 1], rest[2 * LONGEST_NAME + 2];
    size_t length;
    int links;
};

/* Put what a link says before the rest of the way. */
static int follow(struct walk *walk, int above, const char *name)
{
    char said[LONGEST_NAME + 1];
    size_t rest = strlen(walk->rest);
    size_t size = (size_t)TRY(SYS(readlinkat, above, name, said, sizeof said));

    if (++walk->links > MOST_LINKS || size + 1 + rest >= sizeof walk->rest)
        return WRONG(LOOP);
    memmove(walk->rest + size + 1, walk->rest, rest + 1);
    memcpy(walk->rest, said, size);
    walk->rest[size] = '/';
    if (*said == '/')
        walk->length = 0;
    return 0;
}

/* Cut the first part off the rest of the way: how long it is, or 0 at the end. */
static size_t next_part(struct walk *walk, char part[256])
{
    const char *begin = walk->rest + strspn(walk->rest, "/");
    size_t size = strcspn(begin, "/");

    if (size > 255)
        return size;
    memcpy(part, begin, size);
    part[size] = 0;
    memmove(walk->rest, begin + size, strlen(begin + size) + 1);
    return size;
}

static int go_up(struct place *place, struct walk *walk, struct directory **found)
{
    walk->real[walk->length] = 0;
    split_name(walk->real, &walk->length);
    return hold_directory(place, walk->real, walk->length, 0, found); /* there is no link on it */
}

static int go_down(struct place *place, struct walk *walk, const char *part, int make,
                   struct directory **found)
{
    size_t length = walk->length, size = strlen(part);
    struct directory *above = *found;

    if (length + 1 + size > LONGEST_NAME)
        return WRONG(NAME);
    if (length)
        walk->real[length++] = '/';
    memcpy(walk->real + length, part, size + 1);
    length += size;
    if ((*found = find(place, walk->real, length))) {
        walk->length = length;
        return 0;
    }
    if (TRY(enter(place, above, walk->real, make, found)) == 0) {
        walk->length = length;
        return 0;
    }
    *found = above;
    TRY(follow(walk, above->fd, part));
    if (!walk->length)
        *found = use(place, &place->directories.kept[0]);
    return 0;
}

/* The directory at the first *length* bytes of *path*; with MAKE, what lacks on the way is made.  It is held
 * until the next one is opened, or longer if it is pinned. */
int hold_directory(struct place *place, const char *path, size_t length, int make, struct directory **found)
{
    struct walk walk;
    char part[256];

    if ((*found = find(place, path, length)))
        return 0;
    *found = find_above(place, path, length);
    walk.links = 0;
    walk.length = (*found)->length;
    memcpy(walk.real, path, walk.length);
    memcpy(walk.rest, path + walk.length, length - walk.length);
    walk.rest[length - walk.length] = 0;
    for (size_t size; (size = next_part(&walk, part));) {
        if (size > 255)
            return WRONG(NAME);
        if (!strcmp(part, ".."))
            TRY(go_up(place, &walk, found));
        else if (strcmp(part, "."))
            TRY(go_down(place, &walk, part, make, found));
    }
    return 0;
}
