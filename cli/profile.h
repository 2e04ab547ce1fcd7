/// Who the operator is and which server is meant: one private file, written by `drover login`.
///
///   $DROVER_CONFIG, else $XDG_CONFIG_HOME/drover/profile.json, else
///   $HOME/.config/drover/profile.json
///   {"server":"https://mgmt:8443","authority_pem":"…","token":"…"}   mode 0600
#pragma once

#include "base/result.h"

#include <filesystem>
#include <functional>
#include <string>

namespace drover::cli {

struct Profile {
    std::string server;         ///< https://HOST:PORT
    std::string authority_pem;  ///< the CA that signs the server's certificate
    std::string token;

    bool operator==(const Profile&) const = default;
};

/// `environment` answers a variable's value, "" if unset. Errors: not_found ("no_home").
[[nodiscard]] Result<std::filesystem::path> profile_path(
    const std::function<std::string(const char*)>& environment);

/// Errors: denied ("not_signed_in": there is none; "profile_exposed": others can read it; nobody
/// uses a token that others may have copied), invalid ("bad_profile").
[[nodiscard]] Result<Profile> load_profile(const std::filesystem::path& path);

/// Creates the directory with mode 0700 and replaces the file with mode 0600, durably.
[[nodiscard]] Result<> save_profile(const std::filesystem::path& path, const Profile& profile);

}  // namespace drover::cli
