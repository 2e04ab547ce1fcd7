#include "history/export_file.h"

#include "base/fd.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace drover::history {

namespace {

constexpr std::size_t chunk_bytes = 64U << 10;
constexpr std::string_view page_begin = "<!DOCTYPE html>";

Error damaged(const std::string& what) {
    return Error(Errc::corrupt, "export_line_damaged", what, "nothing was changed",
                 "take the export again, or another copy of it");
}

/// Every line of a file, with at most one line and one chunk in memory.
Result<> read_lines(const std::filesystem::path& path, const TextLineVisitor& visit) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    std::string line;
    std::array<char, chunk_bytes> chunk{};
    for (;;) {
        const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path.native());
        if (got == 0) break;
        std::string_view rest(chunk.data(), static_cast<std::size_t>(got));
        for (std::size_t end = rest.find('\n'); end != std::string_view::npos;
             end = rest.find('\n')) {
            line += rest.substr(0, end);
            rest.remove_prefix(end + 1);
            TRY(const bool go_on, visit(line));
            if (!go_on) return {};
            line.clear();
        }
        line += rest;
        if (line.size() > export_line_bytes_max) return damaged("a line is too long");
    }
    if (!line.empty()) return damaged("the last line is cut off");
    return {};
}

/// Finds the export in a page and passes only that on.
class PackFilter {
  public:
    explicit PackFilter(const TextLineVisitor& visit)
        : visit_(visit) {}

    Result<bool> see(std::string_view line) {
        if (where_ == Where::unknown)
            where_ = line.starts_with(page_begin) ? Where::before : Where::plain;
        switch (where_) {
            case Where::unknown:
            case Where::plain:
                return visit_(line);
            case Where::before:
                if (line == pack_export_begin) where_ = Where::inside;
                return true;
            case Where::inside:
                if (line != pack_export_end) return visit_(line);
                where_ = Where::after;
                return true;
            case Where::after:
                return true;
        }
        return true;
    }

    /// False for a page that holds no whole export.
    [[nodiscard]] bool done() const { return where_ == Where::plain || where_ == Where::after; }

  private:
    enum class Where : std::uint8_t { unknown, plain, before, inside, after };

    const TextLineVisitor& visit_;
    Where where_ = Where::unknown;
};

}  // namespace

Result<bool> is_evidence_pack(const std::filesystem::path& path) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    std::array<char, page_begin.size()> begin{};
    const ssize_t got = ::pread(fd.get(), begin.data(), begin.size(), 0);
    if (got < 0) return errno_error(errno, "read", path.native());
    return std::string_view(begin.data(), static_cast<std::size_t>(got)) == page_begin;
}

Result<> read_export_lines(const std::filesystem::path& path, const TextLineVisitor& visit) {
    bool is_stopped = false;
    const TextLineVisitor watched = [&](std::string_view line) -> Result<bool> {
        TRY(const bool go_on, visit(line));
        if (!go_on) is_stopped = true;
        return go_on;
    };
    PackFilter filter(watched);
    TRY_VOID(read_lines(path, [&](std::string_view line) { return filter.see(line); }));
    if (is_stopped || filter.done()) return {};
    return Error(Errc::corrupt, "export_missing", path.native() + " holds no whole export",
                 "nothing was changed", "give the file that drover audit export wrote");
}

Result<> read_export(const std::filesystem::path& path, const ExportLineVisitor& visit) {
    return read_export_lines(path, [&](std::string_view text) -> Result<bool> {
        TRY(const auto line, parse_export_line(text));
        return visit(line);
    });
}

}  // namespace drover::history
