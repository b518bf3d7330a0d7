/* Whose an entry is, and its extended attributes. */
#include "untar.h"
#include <string.h>

static const char *opaque_name(const struct place *place)
{
    return place->flags & PE_UNTAR_USER_XATTRS ? "user.overlay.opaque" : "trusted.overlay.opaque";
}

/* What lies below in other layers is not seen through it. */
int make_opaque(struct place *place, struct directory *directory)
{
    if (!directory->length)
        place->count.hides_all = 1;
    return (int)SYS(fsetxattr, directory->fd, opaque_name(place), "y", 1, 0);
}

/* *name* in *fd*, or *fd* itself if that is NULL. */
int set_owner(struct place *place, int fd, const char *name, const struct tar_entry *entry)
{
    int set;

    if (place->flags & PE_UNTAR_ONE_OWNER)
        return 0;
    if (entry->uid == UINT32_MAX || entry->gid == UINT32_MAX) /* which would mean: as it is */
        return WRONG(OWNER);
    if (name)
        set = (int)SYS(fchownat, fd, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW);
    else
        set = (int)SYS(fchown, fd, entry->uid, entry->gid);
    return set == -EINVAL ? WRONG(OWNER) : set;
}

static int begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* What would steer an overlay, or tells of the host where the archive was made. */
static int is_unwanted(const char *name)
{
    return begins(name, "trusted.overlay.") || begins(name, "user.overlay.") ||
           !strcmp(name, "security.selinux") || !strcmp(name, "security.ima") ||
           !strcmp(name, "security.evm");
}

static int set_attribute(struct place *place, int fd, const char *path, struct tar_text text,
                         struct tar_text value)
{
    char name[256];
    int set;

    if (text.size >= sizeof name)
        return WRONG(ATTRIBUTE);
    memcpy(name, text.at, text.size);
    name[text.size] = 0;
    if (is_unwanted(name))
        set = -EOPNOTSUPP;
    else if (path)
        set = (int)SYS(lsetxattr, path, name, value.at, value.size, 0);
    else
        set = (int)SYS(fsetxattr, fd, name, value.at, value.size, 0);
    if (set == -EOPNOTSUPP || set == -EPERM) { /* EPERM: not on files of this kind, or not for us */
        place->count.lost_attributes++;
        return 0;
    }
    return set == -ENOSPC || set == -E2BIG || set == -ERANGE || set == -EINVAL ? WRONG(ATTRIBUTE) : set;
}

/* All in *records*, which have been read before, for *fd* or for what *path* names; after its owner, whose
 * change would take its capabilities away, and before its mode, which may forbid it. */
int set_attributes(struct place *place, struct tar_text records, int fd, const char *path)
{
    struct tar_record record;
    struct tar_text name;

    while (TRY(tar_next_record(&records, &record)))
        if (tar_is_attribute(&record, &name))
            TRY(set_attribute(place, fd, path, name, record.value));
    return 0;
}
