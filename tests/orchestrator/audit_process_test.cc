// The audit trail with real programs: init, commands, export, verify without the server, tamper,
// verify again.
#include "base/file.h"
#include "droverd_process.h"
#include "show_results.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/wait.h>

namespace drover::orchestrator::testing {

namespace {

namespace fs = std::filesystem;

constexpr int integrity = 11;

/// The word after `label` in a program's output.
std::string word_after(const std::string& output, const std::string& label) {
    std::size_t at = output.find(label);
    REQUIRE(at != std::string::npos);
    at = output.find_first_not_of(' ', at + label.size());
    return output.substr(at, output.find_first_of(" \n", at) - at);
}

/// One server, one operator's shell.
class Site {
  public:
    Site() {
        const auto config = root() / "config";
        std::string text = read_text(config).value();
        text += "[audit]\nanchor_file = \"" + second_path().string() + "\"\n";
        REQUIRE(write_file_durably(config, as_bytes(text)));
        const Exit made = server.init();
        REQUIRE(made.code == 0);
        pin_ = word_after(made.output, "CA pin");
        key = word_after(made.output, "Anchor key");
    }

    [[nodiscard]] fs::path root() const { return server.state().parent_path(); }

    [[nodiscard]] fs::path second_path() const { return root() / "second.jsonl"; }

    [[nodiscard]] fs::path file(const std::string& name) const { return root() / name; }

    /// Started, and signed in to.
    void start() {
        REQUIRE(server.start());
        REQUIRE(drover("login --server https://127.0.0.1:" + std::to_string(server.http_port()) +
                       " --ca-pin " + pin_ + " --token-file " +
                       (server.state() / "api-token").string()) == 0);
    }

    void plan(const std::string& name) {
        for (const char* agent : {"old", "new"}) {
            const std::string body = std::string(R"({"agent":")") + agent + R"("})";
            REQUIRE(server.request("POST", "/v1/agent-tokens", body)->status == 201);
        }
        REQUIRE(drover("job create " + name + " --source old --target new --disk /dev/" + name +
                       "=/dev/" + name) == 0);
    }

    /// Its exit code; what it printed is in `output`.
    int drover(const std::string& arguments) {
        const auto printed = file("drover.out");
        const std::string line = "DROVER_CONFIG=" + file("profile.json").string() + " " +
                                 DROVER_PATH + " " + arguments + " >" + printed.string() + " 2>&1";
        const int status = std::system(line.c_str());  // NOLINT(concurrency-mt-unsafe)
        output = read_text(printed).value();
        INFO(arguments << "\n" << output);
        REQUIRE(WIFEXITED(status));
        return WEXITSTATUS(status);
    }

    DroverdProcess server;
    std::string key;
    std::string output;

  private:
    std::string pin_;
};

/// In place: whoever has the file open sees it.
void flip_middle_of_largest_table(const fs::path& database) {
    fs::path largest;
    for (const auto& entry : fs::directory_iterator(database)) {
        if (entry.path().extension() != ".sst") continue;
        if (largest.empty() || entry.file_size() > fs::file_size(largest)) largest = entry.path();
    }
    std::fstream table(largest, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(fs::file_size(largest) / 2);
    table.seekg(middle);
    const auto byte = static_cast<char>(table.get() ^ 1);
    table.seekp(middle);
    table.put(byte);
    REQUIRE(table.flush());
}

void flip(const fs::path& path, std::size_t at) {
    std::string text = read_text(path).value();
    text.at(at) = text.at(at) == 'A' ? 'B' : 'A';
    REQUIRE(write_file_durably(path, as_bytes(text)));
}

}  // namespace

TEST_CASE("audit: a job's evidence proves itself without the server, until it is changed") {
    Site site;
    site.start();
    site.plan("web");
    REQUIRE(site.drover("job cancel web --reason 'not \"today\" <b>'") == 0);
    CHECK(site.drover("audit verify") == 0);
    CHECK(site.drover("audit anchor") == 0);
    const std::string pack = site.file("web.html").string();
    const std::string lines = site.file("log.jsonl").string();
    REQUIRE(site.drover("audit export --job web --format html --out " + pack) == 0);
    REQUIRE(site.drover("audit export --out " + lines) == 0);
    CHECK(site.drover("audit export --job nobody --out " + lines + "2") == 5);
    CHECK(site.drover("audit verify --anchors " + site.second_path().string() + " --key " +
                      site.key) == 0);
    REQUIRE(site.server.stop(SIGTERM).code == 0);

    const std::string trusted = " --key " + site.key;
    CHECK(site.drover("audit verify --export " + pack + trusted) == 0);
    CHECK(site.drover("audit verify --export " + lines + trusted) == 0);
    CHECK(site.drover("audit verify -o json --export " + lines + " --key " +
                      (site.server.state() / "anchor.pub").string() + " --anchors " +
                      (site.server.state() / "anchors.jsonl").string()) == 0);
    CHECK(site.output.find("\"ok\": true") != std::string::npos);
    CHECK(site.drover("audit verify --export " + lines + " --key " + std::string(64, '0')) ==
          integrity);
    CHECK(site.drover("audit export --from " + pack + " --format csv --out " + pack + ".csv") == 0);
    CHECK(read_text(pack + ".csv").value().find("JobPlanned") != std::string::npos);
    CHECK(site.drover("audit export --from " + pack + " --format html --out " + pack + "2") == 0);
    CHECK(read_text(pack + "2").value() == read_text(pack).value());

    const std::size_t record = read_text(lines).value().rfind("\"record\":\"") + 200;
    flip(lines, record);
    CHECK(site.drover("audit verify --export " + lines) == integrity);
    CHECK(site.output.find("first bad") != std::string::npos);
    flip(pack, read_text(pack).value().find("Cancelled"));
    CHECK(site.drover("audit verify --export " + pack) == integrity);
    CHECK(site.output.find("pack_text_differs") != std::string::npos);
}

TEST_CASE("audit: a directory is verified beside and after the server, and against anchors") {
    Site site;
    site.start();
    site.plan("web");
    const std::string state = site.server.state().string();
    CHECK(site.drover("audit verify --dir " + state) == 0);
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    const fs::path earlier = site.file("earlier");
    fs::copy(site.server.state() / "log", earlier, fs::copy_options::recursive);
    site.start();
    site.plan("mail");
    CHECK(site.drover("audit anchor") == 0);
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    CHECK(site.drover("audit verify --dir " + state + " --key " + site.key) == 0);

    // An earlier log is as valid as a log can be; only the anchors know that it is not all.
    CHECK(site.drover("audit verify --dir " + earlier.string()) == 0);
    CHECK(site.drover("audit verify --dir " + earlier.string() + " --anchors " +
                      site.second_path().string()) == integrity);
    CHECK(site.output.find("log_shorter_than_anchor") != std::string::npos);
    fs::remove_all(site.server.state() / "log");
    fs::copy(earlier, site.server.state() / "log", fs::copy_options::recursive);
    CHECK(site.server.run_another().output.find("log_contradicts_anchor") != std::string::npos);
}

TEST_CASE("audit: a server whose log is damaged while it runs names the first bad event") {
    Site site;
    site.start();
    for (int i = 0; i < 12; ++i) site.plan("web-" + std::to_string(i));
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    site.start();  // now all of that is in a table
    CHECK(site.drover("audit verify") == 0);
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    site.start();
    flip_middle_of_largest_table(site.server.state() / "log" / "rocksdb");
    CHECK(site.drover("audit verify") == integrity);
    const std::string first_bad = word_after(site.output, "first bad  id=log_damaged seq=");
    // Neither the first of all events nor the last: the first one that cannot be read.
    CHECK(std::stoi(first_bad) > 1);
    CHECK(std::stoi(first_bad) <= 36);
    CHECK(site.output.find("events   " + std::to_string(std::stoi(first_bad) - 1)) !=
          std::string::npos);
    CHECK(site.drover("audit verify --dir " + site.server.state().string()) == integrity);
    CHECK(word_after(site.output, "first bad  id=log_damaged seq=") == first_bad);
}

TEST_CASE("audit: a state directory without an anchor key gets one, and says so") {
    Site site;
    REQUIRE(fs::remove(site.server.state() / "anchor.key"));
    REQUIRE(fs::remove(site.server.state() / "anchor.pub"));
    site.start();
    CHECK(site.server.output().find("a key to sign anchors was made") != std::string::npos);
    CHECK((fs::status(site.server.state() / "anchor.key").permissions() & fs::perms::all) ==
          (fs::perms::owner_read | fs::perms::owner_write));
    CHECK(site.drover("audit verify") == 0);
    CHECK(site.drover("audit verify --key " + site.key) == integrity);  // that of init
    const std::string made = word_after(site.server.output(), "its fingerprint:");
    CHECK(site.drover("audit verify --key " + site.key + " --key " + made) == 0);

    // Once it has signed, its loss is not passed over.
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    REQUIRE(fs::remove(site.server.state() / "anchor.key"));
    const Exit refused = site.server.run_another();
    CHECK(refused.code != 0);
    CHECK(refused.output.find("state_missing") != std::string::npos);
    CHECK(refused.output.find("anchor.key") != std::string::npos);
    CHECK_FALSE(fs::exists(site.server.state() / "anchor.key"));
}

TEST_CASE("audit: an archived export stays right while the log and its anchors go on") {
    Site site;
    site.start();
    site.plan("web");
    const std::string log = site.file("log.jsonl").string();
    const std::string job = site.file("web.jsonl").string();
    REQUIRE(site.drover("audit export --out " + log) == 0);
    REQUIRE(site.drover("audit export --job web --out " + job) == 0);
    site.plan("mail");
    REQUIRE(site.drover("audit anchor") == 0);
    REQUIRE(site.server.stop(SIGTERM).code == 0);
    const std::string later = " --anchors " + (site.server.state() / "anchors.jsonl").string();
    CHECK(site.drover("audit verify --export " + log + later) == 0);
    CHECK(site.output.find("younger than the export") != std::string::npos);
    CHECK(site.drover("audit verify --export " + job + later) == 0);
}

}  // namespace drover::orchestrator::testing
