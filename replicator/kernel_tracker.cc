#include "replicator/kernel_tracker.h"

#include "base/bytes.h"
#include "block_track.skel.h"
#include "replicator/block_map.h"
#include "replicator/ebpf_host.h"

#include <cerrno>
#include <cstdarg>
#include <system_error>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <sys/mman.h>
#include <unistd.h>

namespace drover::replicator {

static_assert(block_bytes == 1U << TRACK_BLOCK_SHIFT);

namespace {

constexpr std::size_t log_length_max = 2000;
constexpr std::array<const char*, 2> program_names = {"on_complete", "on_issue"};
constexpr std::array<const char*, 2> link_names = {"link_complete", "link_issue"};

// libbpf's message callback has no context argument; it runs on the thread that called libbpf.
thread_local std::string* captured = nullptr;

__attribute__((format(printf, 2, 0))) int capture_message(libbpf_print_level level,
                                                          const char* format, va_list arguments) {
    if (captured == nullptr || level == LIBBPF_DEBUG) return 0;
    std::array<char, 512> line{};
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (length > 0 && captured->size() < log_length_max) *captured += line.data();
    return 0;
}

/// Collects what libbpf says while in scope.
class MessageCapture {
  public:
    MessageCapture() {
        captured = &text_;
        libbpf_set_print(capture_message);
    }

    MessageCapture(const MessageCapture&) = delete;
    MessageCapture& operator=(const MessageCapture&) = delete;

    ~MessageCapture() { captured = nullptr; }

    /// `number` is a positive errno value.
    [[nodiscard]] Error error(std::string_view action, int number) const {
        std::string detail = std::string(action) + ": " + std::generic_category().message(number);
        if (!text_.empty()) detail += "; libbpf: " + printable(text_, log_length_max);
        return Error(Errc::unsupported, "ebpf_unsupported", std::move(detail));
    }

  private:
    std::string text_;
};

struct DestroySkeleton {
    void operator()(block_track* skeleton) const { block_track__destroy(skeleton); }
};

using Skeleton = std::unique_ptr<block_track, DestroySkeleton>;

template <class Info>
Result<Info> object_info(const Fd& fd, std::string_view name) {
    Info info{};
    std::uint32_t length = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0)
        return errno_error(errno, "read BPF object", name);
    return info;
}

Result<Fd> open_pin(const std::filesystem::path& path) {
    Fd fd(bpf_obj_get(path.c_str()));
    if (!fd.valid()) return errno_error(errno, "open BPF object", path.native());
    return fd;
}

std::size_t page_rounded(std::size_t length) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return (length + page - 1) / page * page;
}

/// Opens a pinned array, checks its shape, maps it, and appends its id to `identity`.
Result<MappedArray> map_pin(const std::filesystem::path& path, std::size_t value_size,
                            std::uint64_t entries, std::string& identity) {
    TRY(const Fd fd, open_pin(path));
    TRY(const bpf_map_info info, object_info<bpf_map_info>(fd, path.native()));
    if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != value_size ||
        info.max_entries != entries)
        return Error(Errc::conflict, "ebpf_layout_changed",
                     path.native() + " has another shape than this version uses");
    const std::size_t length = page_rounded(value_size * entries);
    void* const memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) return errno_error(errno, "map BPF array", path.native());
    identity += " map:" + std::to_string(info.id);
    return MappedArray(memory, length);
}

Result<> set_up(block_track& skeleton, const TrackedDisk& disk) {
    skeleton.rodata->disk_major = disk.major;
    skeleton.rodata->disk_first_minor = disk.minor;
    skeleton.rodata->disk_blocks = disk.blocks;
    const std::size_t words = words_of(disk.blocks);
    if (words == 0 || words > UINT32_MAX)
        return Error(Errc::unsupported, "ebpf_unsupported", "the disk's size cannot be tracked");
    for (bpf_map* map : {skeleton.maps.dirty, skeleton.maps.issued_a, skeleton.maps.issued_b})
        bpf_map__set_max_entries(map, static_cast<std::uint32_t>(words));
    return {};
}

/// 0 or a positive errno value.
int pin_maps_and_programs(const block_track& skeleton, const std::filesystem::path& directory) {
    for (bpf_map* map : {skeleton.maps.dirty, skeleton.maps.issued_a, skeleton.maps.issued_b,
                         skeleton.maps.counters, skeleton.maps.control})
        if (const int problem = bpf_map__pin(map, (directory / bpf_map__name(map)).c_str()))
            return -problem;
    for (bpf_program* program : {skeleton.progs.on_complete, skeleton.progs.on_issue})
        if (const int problem =
                bpf_program__pin(program, (directory / bpf_program__name(program)).c_str()))
            return -problem;
    return 0;
}

/// The issue side first: a completion that is lost can then be repaired. 0 or a positive errno
/// value.
int attach_programs(block_track& skeleton) {
    skeleton.links.on_issue = bpf_program__attach(skeleton.progs.on_issue);
    if (skeleton.links.on_issue == nullptr) return errno;
    skeleton.links.on_complete = bpf_program__attach(skeleton.progs.on_complete);
    return skeleton.links.on_complete == nullptr ? errno : 0;
}

int attach_and_pin(block_track& skeleton, const std::filesystem::path& directory) {
    if (const int problem = attach_programs(skeleton)) return problem;
    if (const int problem =
            bpf_link__pin(skeleton.links.on_complete, (directory / link_names[0]).c_str()))
        return -problem;
    return -bpf_link__pin(skeleton.links.on_issue, (directory / link_names[1]).c_str());
}

}  // namespace

MappedArray::MappedArray(MappedArray&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      length_(std::exchange(other.length_, 0)) {}

MappedArray& MappedArray::operator=(MappedArray&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(length_, other.length_);
    return *this;
}

MappedArray::~MappedArray() {
    if (memory_ != nullptr) ::munmap(memory_, length_);
}

Result<> probe_bpf() {
    const MessageCapture messages;
    // A kprobe program stands for all tracing programs here; libbpf cannot probe typed tracepoints.
    const int has_loop = libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_loop, nullptr);
    if (has_loop < 0) return messages.error("the kernel refuses BPF programs", -has_loop);
    if (has_loop == 0)
        return Error(Errc::unsupported, "ebpf_unsupported",
                     "the kernel has no bpf_loop (Linux 5.17 or newer is needed)");
    return {};
}

Result<> try_tracepoints() {
    TRY_VOID(probe_bpf());
    const MessageCapture messages;
    const Skeleton skeleton(block_track__open());
    if (!skeleton) return messages.error("open the BPF programs", errno);
    // No disk has the number 0:0, so that neither program marks anything.
    TRY_VOID(set_up(*skeleton, {0, 0, 1}));
    if (const int problem = block_track__load(skeleton.get()))
        return messages.error("load the BPF programs", -problem);
    if (const int problem = attach_programs(*skeleton))
        return messages.error("attach the BPF programs", problem);
    return {};
}

Result<KernelTracker> KernelTracker::attach(const std::filesystem::path& directory,
                                            const TrackedDisk& disk) {
    const MessageCapture messages;
    const Skeleton skeleton(block_track__open());
    if (!skeleton) return messages.error("open the BPF programs", errno);
    TRY_VOID(set_up(*skeleton, disk));
    if (const int problem = block_track__load(skeleton.get()))
        return messages.error("load the BPF programs", -problem);
    if (const int problem = pin_maps_and_programs(*skeleton, directory))
        return messages.error("pin the BPF objects", problem);
    if (const int problem = attach_and_pin(*skeleton, directory))
        return messages.error("attach the BPF programs", problem);
    return reopen(directory, disk.blocks);
}

Result<KernelTracker> KernelTracker::reopen(const std::filesystem::path& directory,
                                            std::uint64_t blocks) {
    KernelTracker tracker;
    TRY_VOID(tracker.take_programs(directory));
    TRY_VOID(tracker.take_maps(directory, blocks));
    return tracker;
}

Result<> KernelTracker::take_programs(const std::filesystem::path& directory) {
    for (std::size_t i = 0; i < links_.size(); ++i) {
        TRY(links_[i], open_pin(directory / link_names[i]));
        TRY(programs_[i], open_pin(directory / program_names[i]));
        TRY(const bpf_link_info link, object_info<bpf_link_info>(links_[i], link_names[i]));
        TRY(const bpf_prog_info program,
            object_info<bpf_prog_info>(programs_[i], program_names[i]));
        if (link.prog_id != program.id)
            return Error(Errc::conflict, "ebpf_layout_changed",
                         std::string(link_names[i]) + " runs another program");
        identity_ += " link:" + std::to_string(link.id) + " program:" + std::to_string(program.id) +
                     ":" + to_hex(program.tag);
    }
    return {};
}

Result<> KernelTracker::take_maps(const std::filesystem::path& directory, std::uint64_t blocks) {
    const std::size_t words = words_of(blocks);
    TRY(dirty_, map_pin(directory / "dirty", sizeof(std::uint64_t), words, identity_));
    TRY(issued_[0], map_pin(directory / "issued_a", sizeof(std::uint64_t), words, identity_));
    TRY(issued_[1], map_pin(directory / "issued_b", sizeof(std::uint64_t), words, identity_));
    TRY(counters_, map_pin(directory / "counters", sizeof(track_counters), 1, identity_));
    TRY(control_, map_pin(directory / "control", sizeof(track_control), 1, identity_));
    return {};
}

std::uint64_t KernelTracker::recursion_misses() const {
    std::uint64_t misses = 0;
    for (const Fd& program : programs_)
        if (const auto info = object_info<bpf_prog_info>(program, "program"))
            misses += info->recursion_misses;
    return misses;
}

void KernelTracker::detach() {
    for (Fd& link : links_) link.reset();
    for (Fd& program : programs_) program.reset();
}

}  // namespace drover::replicator
