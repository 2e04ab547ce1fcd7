#include "agent/fence_store.h"

#include "agent/json_file.h"
#include "schemas/codec.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace drover::agent {
namespace {

constexpr std::array states{FenceState::fenced, FenceState::releasing, FenceState::reversing};

Error damaged(const std::filesystem::path& path) {
    return Error(Errc::corrupt, "fence_marker_damaged", path.native() + " is damaged",
                 "the fence, as far as its guard and the kernel hold it",
                 "restore the file from a backup, or end the fence with drover-agent fence remove");
}

Result<FenceMarker> parse(const std::filesystem::path& path, std::string_view contents) {
    TRY(const Fields fields, Fields::parse(path, contents));
    FenceMarker marker;
    TRY(const std::string state, fields.text("state"));
    const auto known = std::ranges::find(states, state, [](FenceState s) { return name_of(s); });
    if (known == states.end()) return damaged(path);
    marker.state = *known;
    TRY(const std::string effect, fields.text("effect"));
    const auto bytes = from_hex(effect);
    if (!bytes) return damaged(path);
    TRY(marker.effect, decode_effect(*bytes));
    if (!std::holds_alternative<FenceWork>(marker.effect.work)) return damaged(path);
    TRY(marker.host.id, fields.text("host"));
    TRY(marker.host.boot_id, fields.text("boot"));
    TRY(marker.tracker_seq, fields.number("tracker_seq"));
    TRY(const std::uint64_t micros, fields.number("fenced_micros"));
    marker.fenced_micros = static_cast<WallMicros>(micros);
    TRY(const std::vector<std::string> marks, fields.list("write_marks"));
    for (const std::string& text : marks) {
        std::uint64_t mark = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), mark);
        if (failed != std::errc() || end != text.data() + text.size()) return damaged(path);
        marker.write_marks.push_back(mark);
    }
    TRY(const std::uint64_t breached, fields.number("breached"));
    TRY(const std::uint64_t broken, fields.number("broken_by_root"));
    marker.breached = breached != 0;
    marker.broken_by_root = broken != 0;
    if (!fields.has("reverse")) return marker;
    TRY(const std::uint64_t reverse, fields.number("reverse"));
    if (reverse > static_cast<std::uint64_t>(ReverseState::kept)) return damaged(path);
    marker.reverse = static_cast<ReverseState>(reverse);
    return marker;
}

}  // namespace

std::string_view name_of(FenceState state) {
    switch (state) {
        case FenceState::fenced:
            return "fenced";
        case FenceState::releasing:
            return "releasing";
        case FenceState::reversing:
            return "reversing";
    }
    return {};
}

Result<FenceMarker> FenceStore::load(const std::filesystem::path& path) const {
    TRY(std::string text, read_text(path, Fields::bytes_max));
    const std::lock_guard lock(mutex_);
    const auto known = known_.find(path);
    if (known != known_.end() && known->second.text == text) return known->second.marker;
    TRY(FenceMarker marker, parse(path, text));
    known_[path] = {std::move(text), marker};
    return marker;
}

Result<std::vector<FenceMarker>> FenceStore::all() const {
    TRY(const auto files, list_files(directory_));
    std::vector<FenceMarker> out;
    for (const auto& file : files) {
        TRY(FenceMarker marker, load(file));
        out.push_back(std::move(marker));
    }
    return out;
}

Result<std::vector<FenceMarker>> FenceStore::own() const {
    TRY(std::vector<FenceMarker> markers, all());
    std::erase_if(markers, [&](const FenceMarker& marker) { return marker.host.id != host_.id; });
    return markers;
}

Result<std::vector<FenceMarker>> FenceStore::foreign() const {
    TRY(std::vector<FenceMarker> markers, all());
    std::erase_if(markers, [&](const FenceMarker& marker) { return marker.host.id == host_.id; });
    return markers;
}

Result<std::optional<FenceMarker>> FenceStore::find(const FenceToken& token) const {
    TRY(const std::vector<FenceMarker> markers, own());
    for (const FenceMarker& marker : markers)
        if (marker.work().token == token) return std::optional(marker);
    return std::optional<FenceMarker>();
}

Result<std::optional<FenceMarker>> FenceStore::of_job(const JobId& job) const {
    TRY(const std::vector<FenceMarker> markers, own());
    for (const FenceMarker& marker : markers)
        if (marker.effect.id.job == job) return std::optional(marker);
    return std::optional<FenceMarker>();
}

Result<> FenceStore::store(const FenceMarker& marker) const {
    Fields fields;
    fields.set("state", std::string(name_of(marker.state)));
    fields.set("job", marker.effect.job_name);
    fields.set("token", marker.work().token.hex());
    fields.set("effect", to_hex(encode_effect(marker.effect)));
    fields.set("host", marker.host.id);
    fields.set("boot", marker.host.boot_id);
    fields.set_number("tracker_seq", marker.tracker_seq);
    fields.set_number("fenced_micros", static_cast<std::uint64_t>(marker.fenced_micros));
    std::vector<std::string> marks;
    for (const std::uint64_t mark : marker.write_marks) marks.push_back(std::to_string(mark));
    fields.set_list("write_marks", marks);
    fields.set_number("breached", marker.breached ? 1 : 0);
    fields.set_number("broken_by_root", marker.broken_by_root ? 1 : 0);
    if (marker.reverse != ReverseState::none)
        fields.set_number("reverse", static_cast<std::uint64_t>(marker.reverse));
    return fields.store(directory_ / marker.work().token.hex());
}

Result<> FenceStore::remove(const FenceToken& token) const {
    const std::filesystem::path path = directory_ / token.hex();
    {
        const std::lock_guard lock(mutex_);
        known_.erase(path);
    }
    return remove_file_durably(path);
}

}  // namespace drover::agent
