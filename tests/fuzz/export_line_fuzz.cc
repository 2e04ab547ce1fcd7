/// Any text as a line of an export or of a file of anchors: refused, or a value with one canonical
/// line; and verifying it finds something or nothing, but never ends the process.
#include "base/assert.h"
#include "history/anchor_file.h"
#include "history/export_check.h"

using namespace drover;
using namespace drover::history;

namespace {

void check_anchor_line(const eventlog::Anchor& anchor) {
    const std::string line = anchor_line(anchor);
    DROVER_ASSERT(line.size() <= anchor_line_bytes_max);
    const auto again = parse_export_line(line);
    DROVER_ASSERT(again.has_value() && std::get<eventlog::Anchor>(*again) == anchor);
    (void)eventlog::check_anchor(anchor);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    ExportCheck check({});
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        begin = end + 1;
        check.see(line);
        const auto parsed = parse_export_line(line);
        if (!parsed) continue;
        std::string canonical = export_line(*parsed);
        DROVER_ASSERT(canonical.find_first_of("<>&") == std::string::npos);
        canonical.pop_back();
        const auto again = parse_export_line(canonical);
        DROVER_ASSERT(again.has_value());
        DROVER_ASSERT(*again == *parsed);
        if (const auto* anchor = std::get_if<eventlog::Anchor>(&*parsed))
            check_anchor_line(*anchor);
    }
    (void)check.finish();
    return 0;
}
