#include "tests/disk/lossy_disk.hpp"

#include "shared/ensure.hpp"
#include "tests/disk/lossy_image.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <utility>

namespace pulsemeter {

namespace {

std::size_t size(sqlite3_int64 value)
{
    return static_cast<std::size_t>(value);
}

} // namespace

struct LossyDisk::Handle : sqlite3_file {
    LossyDisk* disk = nullptr;
    std::string path; // empty: a file without a name
    std::shared_ptr<LossyImage> image;
    bool syncs_folder = false;
    std::vector<std::unique_ptr<char[]>> shared_memory;
};

namespace {

std::map<std::string, LossyDisk*>& disks()
{
    static std::map<std::string, LossyDisk*> by_folder;
    return by_folder;
}

} // namespace

LossyDisk::LossyDisk(const std::string& folder) : folder_(folder)
{
    static_cast<void>(installed());
    disks().emplace(folder, this);
}

LossyDisk::~LossyDisk()
{
    disks().erase(folder_);
}

LossyDisk& LossyDisk::of(const char* path)
{
    const auto own =
        path == nullptr ? disks().end() : disks().find(std::filesystem::path(path).parent_path());
    return own == disks().end() ? installed() : *own->second;
}

LossyDisk::Verdict LossyDisk::count_step()
{
    ++steps_;
    if (steps_ == cut_step_)
        return Verdict::cut;
    return steps_ >= first_failing_ && steps_ <= last_failing_ ? Verdict::fails : Verdict::goes_on;
}

int LossyDisk::failed(int error)
{
    last_error_ = error;
    return error;
}

void LossyDisk::cut_at(std::uint64_t step, PowerLoss loss)
{
    cut_step_ = step == 0 ? 0 : steps_ + step;
    loss_ = loss;
}

void LossyDisk::fail_at(std::uint64_t step, std::uint64_t count)
{
    first_failing_ = steps_ + step;
    last_failing_ = first_failing_ + count - 1;
    last_error_ = 0;
}

void LossyDisk::cut_now(PowerLoss loss)
{
    cut_ = true;
    for (auto& [path, name] : names_) {
        if (name.lasting)
            name.lasting->lose(loss, random_);
        if (name.seen && name.seen != name.lasting)
            name.seen->lose(loss, random_);
        if (loss == PowerLoss::kept)
            name.lasting = name.seen;
        // Otherwise the name may be as it was when its folder was last synced, as it is seen, or in between: deleted,
        // and not yet made again.
        else if (loss != PowerLoss::dropped && name.seen != name.lasting && coin())
            name.lasting = name.seen && name.lasting && coin() ? nullptr : name.seen;
    }
}

void LossyDisk::restart(std::uint64_t seed)
{
    ENSURE(handles_ == 0, "a file outlives the power cut");
    for (const auto& [path, name] : names_) {
        if (!name.lasting) {
            std::filesystem::remove(path);
            continue;
        }
        const Bytes& left = name.lasting->lasting;
        std::ofstream(path, std::ios::binary | std::ios::app)
            .flush(); // to 0 bytes first would wait for the real disk
        std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
        file.write(left.data(), static_cast<std::streamsize>(left.size()));
        ENSURE(file.flush(), "the real disk under the tests fails");
        std::filesystem::resize_file(path, left.size());
    }
    names_.clear();
    random_.seed(seed);
    cut_ = false;
    cut_step_ = first_failing_ = last_failing_ = 0;
}

// Of a file that is there.
LossyDisk::Name* LossyDisk::find(const std::string& path)
{
    if (const auto known = names_.find(path); known != names_.end())
        return known->second.seen ? &known->second : nullptr;
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return nullptr;
    auto image = std::make_shared<LossyImage>();
    image->lasting.resize(std::filesystem::file_size(path));
    file.read(image->lasting.data(), static_cast<std::streamsize>(image->lasting.size()));
    image->seen = image->lasting;
    return &names_.insert_or_assign(path, Name{image, image}).first->second;
}

void LossyDisk::sync_folder(const std::string& path)
{
    ++syncs_;
    const auto folder = std::filesystem::path(path).parent_path();
    for (auto& [other, name] : names_)
        if (std::filesystem::path(other).parent_path() == folder)
            name.lasting = name.seen;
}

struct LossyDisk::Vfs {
    static Handle& of(sqlite3_file* file) { return *static_cast<Handle*>(file); }

    static int open(sqlite3_vfs* /*vfs*/, const char* name, sqlite3_file* file, int flags, int* granted)
    {
        file->pMethods = nullptr;
        LossyDisk& disk = LossyDisk::of(name);
        if (disk.cut_)
            return SQLITE_IOERR;
        const std::string path = name == nullptr ? "" : name;
        std::shared_ptr<LossyImage> image;
        bool created = false;
        if (path.empty()) {
            image = std::make_shared<LossyImage>();
        } else if (const Name* known = disk.find(path)) {
            image = known->seen;
        } else {
            if ((flags & SQLITE_OPEN_CREATE) == 0)
                return SQLITE_CANTOPEN;
            const Verdict verdict = disk.count_step();
            if (verdict == Verdict::fails)
                return disk.failed(SQLITE_CANTOPEN);
            image = std::make_shared<LossyImage>();
            disk.names_[path].seen = image;
            created = true;
            if (verdict == Verdict::cut) {
                disk.cut_now(disk.loss_);
                return SQLITE_IOERR;
            }
        }
        constexpr int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
        auto* handle = new (static_cast<void*>(file)) Handle;
        handle->pMethods = &methods;
        handle->disk = &disk;
        handle->path = path;
        handle->image = std::move(image);
        handle->syncs_folder = created && (flags & journals) != 0;
        ++disk.handles_;
        if (granted != nullptr)
            *granted = flags;
        return SQLITE_OK;
    }

    static int remove(sqlite3_vfs* /*vfs*/, const char* path, int sync_folder)
    {
        LossyDisk& disk = LossyDisk::of(path);
        if (disk.cut_)
            return SQLITE_IOERR_DELETE;
        Name* known = disk.find(path);
        if (known == nullptr)
            return SQLITE_IOERR_DELETE_NOENT;
        const Verdict verdict = disk.count_step();
        if (verdict == Verdict::fails)
            return disk.failed(SQLITE_IOERR_DELETE);
        known->seen = nullptr;
        if (verdict == Verdict::cut) {
            disk.cut_now(disk.loss_);
            return SQLITE_IOERR_DELETE;
        }
        if (sync_folder != 0)
            disk.sync_folder(path);
        return SQLITE_OK;
    }

    static int access(sqlite3_vfs* /*vfs*/, const char* path, int /*flags*/, int* answer)
    {
        LossyDisk& disk = LossyDisk::of(path);
        if (disk.cut_)
            return SQLITE_IOERR_ACCESS;
        const Name* known = disk.find(path);
        *answer = known != nullptr && !known->seen->seen.empty() ? 1 : 0; // empty: none, as in the unix VFS
        return SQLITE_OK;
    }

    static int close(sqlite3_file* file)
    {
        Handle& handle = of(file);
        --handle.disk->handles_;
        handle.~Handle();
        return SQLITE_OK;
    }

    static int read(sqlite3_file* file, void* to, int count, sqlite3_int64 offset)
    {
        const Handle& handle = of(file);
        if (handle.disk->cut_)
            return SQLITE_IOERR_READ;
        const Bytes& bytes = handle.image->seen;
        const std::size_t from = std::min(size(offset), bytes.size());
        const std::size_t there = std::min(size(count), bytes.size() - from);
        std::memset(to, 0, size(count));
        if (there > 0)
            std::memcpy(to, bytes.data() + from, there);
        return there == size(count) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
    }

    static int change(Handle& handle, Step step, int error)
    {
        LossyDisk& disk = *handle.disk;
        if (disk.cut_)
            return error;
        const Verdict verdict = disk.count_step();
        if (verdict == Verdict::fails) {
            if (!step.written)
                return disk.failed(error);
            step.written->resize(step.written->size() / 2);
            handle.image->change(std::move(step));
            return disk.failed(disk.coin() ? error : SQLITE_FULL);
        }
        handle.image->change(std::move(step));
        if (verdict == Verdict::goes_on)
            return SQLITE_OK;
        disk.cut_now(disk.loss_);
        return error;
    }

    static int write(sqlite3_file* file, const void* from, int count, sqlite3_int64 offset)
    {
        const auto* first = static_cast<const char*>(from);
        return change(of(file), {size(offset), Bytes(first, first + count)}, SQLITE_IOERR_WRITE);
    }

    static int truncate(sqlite3_file* file, sqlite3_int64 bytes)
    {
        return change(of(file), {size(bytes), std::nullopt}, SQLITE_IOERR_TRUNCATE);
    }

    static int sync(sqlite3_file* file, int /*flags*/)
    {
        Handle& handle = of(file);
        LossyDisk& disk = *handle.disk;
        if (disk.cut_)
            return SQLITE_IOERR_FSYNC;
        switch (disk.count_step()) {
        case Verdict::cut:
            disk.cut_now(disk.loss_);
            return SQLITE_IOERR_FSYNC;
        case Verdict::fails:
            handle.image->lose(PowerLoss::subset, disk.random_);
            return disk.failed(SQLITE_IOERR_FSYNC);
        case Verdict::goes_on:
            break;
        }
        handle.image->sync();
        ++disk.syncs_;
        if (handle.syncs_folder)
            disk.sync_folder(handle.path);
        handle.syncs_folder = false;
        return SQLITE_OK;
    }

    static int file_size(sqlite3_file* file, sqlite3_int64* bytes)
    {
        if (of(file).disk->cut_)
            return SQLITE_IOERR_FSTAT;
        *bytes = static_cast<sqlite3_int64>(of(file).image->seen.size());
        return SQLITE_OK;
    }

    static int lock(sqlite3_file* file, int /*level*/)
    {
        return of(file).disk->cut_ ? SQLITE_IOERR_LOCK : SQLITE_OK;
    }
    static int unlock(sqlite3_file* /*file*/, int /*level*/) { return SQLITE_OK; }
    static int is_reserved(sqlite3_file* /*file*/, int* answer)
    {
        *answer = 0;
        return SQLITE_OK;
    }
    static int control(sqlite3_file* /*file*/, int /*what*/, void* /*value*/) { return SQLITE_NOTFOUND; }
    static int sector_size(sqlite3_file* /*file*/) { return 4096; }                        // as the unix VFS
    static int traits(sqlite3_file* /*file*/) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; } // says of any disk

    static int map(sqlite3_file* file, int region, int bytes, int extend, void volatile** memory)
    {
        auto& regions = of(file).shared_memory;
        *memory = nullptr;
        if (size(region) >= regions.size()) {
            if (extend == 0)
                return SQLITE_OK;
            ENSURE(size(region) == regions.size(), "SQLite maps the regions in turn");
            regions.push_back(std::make_unique<char[]>(size(bytes)));
        }
        *memory = regions[size(region)].get();
        return SQLITE_OK;
    }
    static int lock_memory(sqlite3_file* file, int /*offset*/, int /*count*/, int /*flags*/)
    {
        return of(file).disk->cut_ ? SQLITE_IOERR_SHMLOCK : SQLITE_OK;
    }
    static void barrier(sqlite3_file* /*file*/) {}
    static int unmap(sqlite3_file* file, int /*forget*/)
    {
        of(file).shared_memory.clear();
        return SQLITE_OK;
    }

    static constexpr sqlite3_io_methods methods{
        .iVersion = 2, // with shared memory, without mapped files
        .xClose = close,
        .xRead = read,
        .xWrite = write,
        .xTruncate = truncate,
        .xSync = sync,
        .xFileSize = file_size,
        .xLock = lock,
        .xUnlock = unlock,
        .xCheckReservedLock = is_reserved,
        .xFileControl = control,
        .xSectorSize = sector_size,
        .xDeviceCharacteristics = traits,
        .xShmMap = map,
        .xShmLock = lock_memory,
        .xShmBarrier = barrier,
        .xShmUnmap = unmap,
    };
};

LossyDisk& LossyDisk::installed()
{
    static LossyDisk disk;
    static sqlite3_vfs vfs = [] {
        sqlite3_vfs made = *sqlite3_vfs_find(nullptr); // paths, time and randomness stay the machine's
        made.iVersion = 1;
        made.szOsFile = sizeof(Handle);
        made.pNext = nullptr;
        made.zName = "lossy";
        made.xOpen = Vfs::open;
        made.xDelete = Vfs::remove;
        made.xAccess = Vfs::access;
        return made;
    }();
    static const int registered = sqlite3_vfs_register(&vfs, 1);
    ENSURE(registered == SQLITE_OK, "SQLite takes the disk");
    return disk;
}

} // namespace pulsemeter
