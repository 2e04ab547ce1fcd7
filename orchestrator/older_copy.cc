#include "orchestrator/older_copy.h"

#include "base/file.h"
#include "orchestrator/json_reader.h"

#include <boost/json/serialize.hpp>

namespace drover::orchestrator {
namespace {

constexpr const char* file_name = "older_copy.json";
constexpr std::size_t bytes_max = 64U << 10;

}  // namespace

Result<OlderCopy> load_older_copy(const std::filesystem::path& state) {
    const std::filesystem::path path = state / file_name;
    const auto text = read_text(path, bytes_max);
    if (!text && text.error().code() == Errc::not_found) return OlderCopy{};
    if (!text) return text.error();
    const auto damaged = [&] {
        return Error(Errc::corrupt, "state_damaged", path.native() + " cannot be read",
                     "everything", "find out whether this log is the newest; then remove the file");
    };
    auto in = JsonReader::parse(*text);
    if (!in) return damaged();
    const std::string id = in->required_text("id");
    const std::string detail = in->required_text("detail");
    const std::string kept = in->required_text("kept");
    const std::string next = in->required_text("next");
    if (!in->finish()) return damaged();
    return OlderCopy{true, Error(Errc::unavailable, id, detail, kept, next)};
}

Result<> store_older_copy(const std::filesystem::path& state, const Error& shown) {
    const boost::json::object out{{"id", shown.id()},
                                  {"detail", shown.detail()},
                                  {"kept", shown.kept()},
                                  {"next", shown.next()}};
    return write_file_durably(state / file_name, as_bytes(boost::json::serialize(out) + "\n"),
                              0600);
}

}  // namespace drover::orchestrator
