#include "cli/profile.h"

#include "base/bytes.h"
#include "base/file.h"
#include "cli/json.h"

#include <sys/stat.h>

namespace drover::cli {
namespace {

constexpr std::size_t profile_bytes_max = 256U << 10;
constexpr const char* sign_in =
    "sign in: drover login --server https://HOST:8443 --ca-pin PIN --token-file FILE";

}  // namespace

Result<std::filesystem::path> profile_path(
    const std::function<std::string(const char*)>& environment) {
    if (const std::string own = environment("DROVER_CONFIG"); !own.empty()) return own;
    if (const std::string xdg = environment("XDG_CONFIG_HOME"); !xdg.empty()) {
        return std::filesystem::path(xdg) / "drover" / "profile.json";
    }
    if (const std::string home = environment("HOME"); !home.empty()) {
        return std::filesystem::path(home) / ".config" / "drover" / "profile.json";
    }
    return Error{Errc::not_found, "no_home",
                 "none of DROVER_CONFIG, XDG_CONFIG_HOME and HOME is set", "nothing was changed",
                 "set DROVER_CONFIG to the path of a private file"};
}

Result<Profile> load_profile(const std::filesystem::path& path) {
    auto contents = read_text(path, profile_bytes_max);
    if (!contents && contents.error().code() == Errc::not_found) {
        return Error{Errc::denied, "not_signed_in", "there is no profile at " + path.string(),
                     "nothing was sent", sign_in};
    }
    if (!contents) return contents.error();

    struct stat facts {};

    if (::stat(path.c_str(), &facts) != 0) return errno_error(errno, "stat", path.string());
    if ((facts.st_mode & 077U) != 0) {
        return Error{Errc::denied, "profile_exposed",
                     path.string() + " holds a token and can be read by others", "nothing was sent",
                     "if nobody else had access: chmod 600 " + path.string() +
                         "; otherwise make a new token and sign in again"};
    }
    const auto document = Json::parse(*contents);
    Profile profile;
    if (document) {
        profile.server = (*document)["server"].text();
        profile.authority_pem = (*document)["authority_pem"].text();
        profile.token = (*document)["token"].text();
    }
    if (profile.server.empty() || profile.authority_pem.empty() || profile.token.empty()) {
        return Error{Errc::invalid, "bad_profile", path.string() + " is not a profile of drover",
                     "nothing was sent", sign_in};
    }
    return profile;
}

Result<> save_profile(const std::filesystem::path& path, const Profile& profile) {
    const auto directory = path.has_parent_path() ? path.parent_path() : ".";
    if (std::error_code ignored; !std::filesystem::is_directory(directory, ignored)) {
        TRY_VOID(make_directory_durably(directory));
    }
    const std::string contents = JsonObject{}
                                     .text("server", profile.server)
                                     .text("authority_pem", profile.authority_pem)
                                     .text("token", profile.token)
                                     .str() +
                                 "\n";
    return write_file_durably(path, as_bytes(contents), 0600);
}

}  // namespace drover::cli
