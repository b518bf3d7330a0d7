/* Packing what lies below a directory: in the order of the names' bytes, whatever the file system's is.
 * Nothing is followed, and nothing but files and directories is opened to be read: somebody may be changing
 * the tree. */
#include "pack.h"
#include "remove.h"
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { HELD = 32, MOST_LEVELS = 2048, FIRST_NAMES = 4096 };

/* A directory on the way to where we are; the names in it that have not been reached yet. */
struct level {
    int fd;      /* or -1: it is far above, and found again by its path */
    size_t path; /* how long it is */
    char *names;
    size_t names_size, names_room;
    uint32_t *order; /* where each name begins, sorted */
    size_t n, at, order_room;
    dev_t device;
    ino_t inode;
};

struct pack {
    unsigned flags;
    int64_t time;
    struct out out;
    struct links links;
    struct marks marks;
    struct growing pax;
    struct pe_packed *result;
    char *name; /* of the file at hand; PE_PACK_NAME_ROOM */
    char link[LONGEST_NAME + 1], room[SWEEP_ROOM];
    int depth;
    struct level levels[MOST_LEVELS];
};

/* *at*, with room for *more* beyond *used*; it is doubled, so nothing is moved often.  NULL: there is none.
 */
static void *grow(void *at, size_t *room, size_t used, size_t more, size_t each)
{
    size_t wanted = *room ? *room : FIRST_NAMES;

    while (wanted < used + more)
        wanted *= 2;
    if (wanted == *room)
        return at;
    void *larger = realloc(at, wanted * each);
    if (larger)
        *room = wanted;
    return larger;
}

static int take_name(void *with, int directory, const struct entry *entry)
{
    struct level *level = with;
    size_t size = strlen(entry->name) + 1;

    (void)directory;
    if (level->names_size + size > UINT32_MAX)
        return -ENOMEM;
    void *names = grow(level->names, &level->names_room, level->names_size, size, 1);
    level->names = names ? names : level->names;
    void *order = grow(level->order, &level->order_room, level->n, 1, sizeof *level->order);
    level->order = order ? order : level->order;
    if (!names || !order)
        return -ENOMEM;
    memcpy(level->names + level->names_size, entry->name, size);
    level->order[level->n++] = (uint32_t)level->names_size;
    level->names_size += size;
    return 0;
}

static int by_name(const void *a, const void *b, void *names)
{
    return strcmp((char *)names + *(const uint32_t *)a, (char *)names + *(const uint32_t *)b);
}

static void leave(struct pack *pack)
{
    struct level *level = &pack->levels[--pack->depth];

    close_fd(&level->fd);
    free(level->names);
    free(level->order);
}

/* Begin with the directory *fd*, whose path is at hand; it is closed whatever comes of it. */
static int enter(struct pack *pack, int fd, const struct stat *is)
{
    OWNED_FD owned = fd;

    if (pack->depth == MOST_LEVELS)
        return WRONG(NAME);
    struct level *level = &pack->levels[pack->depth];
    *level = (struct level){.fd = -1, .path = strlen(pack->name), .device = is->st_dev, .inode = is->st_ino};
    pack->depth++;
    TRY(for_each_entry(fd, pack->room, sizeof pack->room, take_name, level));
    if (level->n)
        qsort_r(level->order, level->n, sizeof *level->order, by_name, level->names);
    level->fd = owned;
    owned = -1;
    if (pack->depth > HELD)
        close_fd(&pack->levels[pack->depth - HELD].fd); /* the first stays */
    return 0;
}

/* The directory we are in, which may have been let go of: by its path, on which nothing is followed. */
static int current(struct pack *pack)
{
    struct level *level = &pack->levels[pack->depth - 1];
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    struct stat is;

    if (level->fd >= 0)
        return level->fd;
    pack->name[level->path] = 0;
    level->fd = (int)TRY(open_patiently(pack->levels[0].fd, pack->name, &how));
    TRY(SYS(fstat, level->fd, &is));
    return is.st_ino == level->inode && is.st_dev == level->device ? level->fd : WRONG(CHANGED);
}

/* A file that is there only to say something of another. */
static int out_whiteout(struct pack *pack, const char *name)
{
    struct tar_member member = {.name = name, .link = "", .type = '0', .mode = 0600};

    member.mtime = pack->flags & PE_PACK_ONE_TIME ? pack->time : 0;
    pack->result->entries++;
    return out_header(&pack->out, &member, &pack->pax);
}

/* Put `.wh.` before the last part of the name at hand. */
static int out_hidden(struct pack *pack, size_t base)
{
    char name[PE_PACK_NAME_ROOM];

    memcpy(name, pack->name, base);
    memcpy(name + base, ".wh.", 4);
    strcpy(name + base + 4, pack->name + base);
    return out_whiteout(pack, name);
}

static int out_opaque(struct pack *pack)
{
    char name[PE_PACK_NAME_ROOM];

    strcat(strcpy(name, strcmp(pack->name, "./") ? pack->name : ""), ".wh..wh..opq");
    return out_whiteout(pack, name);
}

static struct tar_member describe(const struct pack *pack, const struct stat *is, char type)
{
    int device = type == '3' || type == '4', once = pack->flags & PE_PACK_ONE_TIME;

    return (struct tar_member){
        .name = pack->name,
        .link = "",
        .type = type,
        .mode = is->st_mode & 07777,
        .uid = is->st_uid,
        .gid = is->st_gid,
        .major = device ? major(is->st_rdev) : 0,
        .minor = device ? minor(is->st_rdev) : 0,
        .size = type == '0' ? (uint64_t)is->st_size : 0,
        .mtime = once ? pack->time : is->st_mtim.tv_sec,
        .mtime_ns = once ? 0 : (uint32_t)is->st_mtim.tv_nsec,
        .records = pack->marks.records.at,
        .records_size = pack->marks.records.size,
    };
}

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    default:
        return '6';
    }
}

static int pack_file(struct pack *pack, int held, const struct stat *is)
{
    char path[FD_NAME];
    struct tar_member member;

    name_fd(held, path);
    OWNED_FD file = (int)TRY(SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
    TRY(read_marks(&pack->marks, held, pack->flags));
    member = describe(pack, is, '0');
    TRY(out_header(&pack->out, &member, &pack->pax));
    TRY(out_file(&pack->out, file, member.size));
    return out_padding(&pack->out, member.size);
}

static int pack_other(struct pack *pack, int held, const struct stat *is)
{
    TRY(read_marks(&pack->marks, held, pack->flags));
    struct tar_member member = describe(pack, is, type_of(is->st_mode));
    if (member.type == '2') {
        long size = TRY(SYS(readlinkat, held, "", pack->link, sizeof pack->link));
        if (size == sizeof pack->link)
            return WRONG(NAME);
        pack->link[size] = 0;
        member.link = pack->link;
    }
    return out_header(&pack->out, &member, &pack->pax);
}

/* Its own entry, then what is in it: the name at hand gets a slash at its end. */
static int pack_directory(struct pack *pack, int fd, const struct stat *is)
{
    OWNED_FD owned = fd;
    size_t n = strlen(pack->name);

    TRY(read_marks(&pack->marks, fd, pack->flags));
    strcpy(pack->name + n, n ? "/" : "./");
    struct tar_member member = describe(pack, is, '5');
    TRY(out_header(&pack->out, &member, &pack->pax));
    if (pack->marks.opaque)
        TRY(out_opaque(pack));
    pack->name[n] = 0;
    fd = owned;
    owned = -1;
    return enter(pack, fd, is);
}

static int pack_link(struct pack *pack, const struct stat *is, const char *before)
{
    struct tar_member member;

    pack->marks.records.size = 0;
    member = describe(pack, is, '1');
    member.link = before;
    return out_header(&pack->out, &member, &pack->pax);
}

/* The file *held*, whatever it is; *base* is where its own name begins in the one at hand. */
static int pack_held(struct pack *pack, int held, const struct stat *is, size_t base)
{
    const char *before;
    char path[FD_NAME];

    if (S_ISCHR(is->st_mode) && !is->st_rdev && (pack->flags & PE_PACK_OVERLAY))
        return out_hidden(pack, base);
    if (S_ISSOCK(is->st_mode)) {
        pack->result->lost_sockets++;
        return 0;
    }
    if ((pack->flags & PE_PACK_OVERLAY) && !strncmp(pack->name + base, ".wh.", 4))
        return WRONG(WHITEOUT); /* whoever unpacks it would take it for one */
    pack->result->entries++;
    if (S_ISDIR(is->st_mode)) {
        name_fd(held, path);
        return pack_directory(pack, (int)TRY(SYS(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                              is);
    }
    if (is->st_nlink > 1 && TRY(find_link(&pack->links, is, pack->name, &before)))
        return pack_link(pack, is, before);
    return S_ISREG(is->st_mode) ? pack_file(pack, held, is) : pack_other(pack, held, is);
}

static int pack_next(struct pack *pack)
{
    struct level *level = &pack->levels[pack->depth - 1];
    struct stat is;

    int directory = TRY(current(pack));
    const char *name = level->names + level->order[level->at++];
    size_t n = level->path;
    if (n + 1 + strlen(name) >= LONGEST_NAME) /* one more for the slash of a directory */
        return WRONG(NAME);
    if (n)
        pack->name[n++] = '/';
    strcpy(pack->name + n, name);
    OWNED_FD held = (int)SYS(openat, directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (held == -ENOENT)
        return 0; /* gone meanwhile, so it is not in the archive */
    TRY(held);
    TRY(SYS(fstat, held, &is));
    return pack_held(pack, held, &is, n);
}

static int walk_all(struct pack *pack, int directory)
{
    struct stat is;
    int root = (int)TRY(SYS(openat, directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int found = (int)SYS(fstat, root, &is);

    if (found < 0) {
        close_fd(&root);
        return found;
    }
    pack->result->entries++;
    TRY(pack_directory(pack, root, &is));
    while (pack->depth)
        if (pack->levels[pack->depth - 1].at < pack->levels[pack->depth - 1].n)
            TRY(pack_next(pack));
        else
            leave(pack);
    return out_end(&pack->out);
}

/* Whoever reads may go away, which is no reason to be ended by a signal: it is for who asked for that. */
static int walk_without_signal(struct pack *pack, int directory)
{
    uint64_t pipe = 1ULL << (SIGPIPE - 1), before;
    struct timespec at_once = {0};

    TRY(SYS(rt_sigprocmask, SIG_BLOCK, &pipe, &before, sizeof pipe));
    int walked = walk_all(pack, directory);
    if (walked == -EPIPE && !(before & pipe))
        SYS(rt_sigtimedwait, &pipe, NULL, &at_once, sizeof pipe);
    SYS(rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    return walked;
}

int pe_pack(int directory, int out, unsigned flags, int64_t time, uint64_t most_bytes, char *name,
            struct pe_packed *result)
{
    struct pack *pack = calloc(1, sizeof *pack);
    char *room = malloc(OUT_ROOM);
    int packed = -ENOMEM;

    *name = 0;
    *result = (struct pe_packed){0};
    if (pack && room) {
        pack->flags = flags;
        pack->time = time;
        pack->out = (struct out){.fd = out, .most = most_bytes, .room = room};
        pack->result = result;
        pack->name = name;
        packed = walk_without_signal(pack, directory);
        while (pack->depth)
            leave(pack);
        forget_links(&pack->links);
        free(pack->pax.at);
        free(pack->marks.records.at);
        result->bytes = pack->out.written;
    }
    free(room);
    free(pack);
    return packed;
}
