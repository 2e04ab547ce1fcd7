#include "cli/profile.h"

#include "base/file.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include <catch2/catch.hpp>

#include <sys/stat.h>

using namespace drover;
using namespace drover::cli;

namespace {

/// A directory that is gone afterwards.
class TempDirectory {
  public:
    TempDirectory() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "drover-cli-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }

    ~TempDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;

    std::filesystem::path path;
};

unsigned mode_of(const std::filesystem::path& path) {
    struct stat facts {};

    REQUIRE(::stat(path.c_str(), &facts) == 0);
    return facts.st_mode & 07777U;
}

const Profile sample{"https://127.0.0.1:8443", "-----BEGIN CERTIFICATE-----\nx\n", "tok\"en"};

}  // namespace

TEST_CASE("profile: what was saved is loaded, and only its owner can read it") {
    const TempDirectory temp;
    const auto file = temp.path / "new" / "profile.json";
    const mode_t old_mask = ::umask(0);
    const auto saved = save_profile(file, sample);
    ::umask(old_mask);
    REQUIRE(saved.has_value());
    CHECK(mode_of(file) == 0600U);
    CHECK(mode_of(file.parent_path()) == 0700U);
    const auto loaded = load_profile(file);
    REQUIRE(loaded.has_value());
    CHECK(*loaded == sample);
}

TEST_CASE("profile: a token that others may have copied is not used") {
    const TempDirectory temp;
    const auto file = temp.path / "profile.json";
    REQUIRE(save_profile(file, sample));
    REQUIRE(::chmod(file.c_str(), 0640) == 0);
    const auto loaded = load_profile(file);
    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error().id() == "profile_exposed");
}

TEST_CASE("profile: without one, or with half of one, the next step is to sign in") {
    const TempDirectory temp;
    const auto file = temp.path / "profile.json";
    const auto missing = load_profile(file);
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().id() == "not_signed_in");
    CHECK(missing.error().next().find("drover login") != std::string::npos);
    for (const char* text : {"", "[]", "{", R"({"server":"https://x","token":"t"})"}) {
        INFO(text);
        REQUIRE(write_file_durably(file, as_bytes(text), 0600));
        const auto bad = load_profile(file);
        REQUIRE_FALSE(bad.has_value());
        CHECK(bad.error().id() == "bad_profile");
    }
}

TEST_CASE("profile: DROVER_CONFIG wins over XDG_CONFIG_HOME, and that over HOME") {
    std::map<std::string, std::string> set;
    const auto environment = [&set](const char* name) { return set[name]; };
    CHECK_FALSE(profile_path(environment));
    set["HOME"] = "/root";
    CHECK(*profile_path(environment) == "/root/.config/drover/profile.json");
    set["XDG_CONFIG_HOME"] = "/xdg";
    CHECK(*profile_path(environment) == "/xdg/drover/profile.json");
    set["DROVER_CONFIG"] = "/own/file";
    CHECK(*profile_path(environment) == "/own/file");
}
