#include "checks.h"
#include "repository.h"

#include <catch2/catch.hpp>

using namespace drover::tidy;

namespace {

const std::vector<File>& repository() {
    static const std::vector<File> files = read_repository(DROVER_ROOT);
    return files;
}

/// One check over the whole tree; a finding is one line of the failure.
void expect_none(Findings (*check)(const File&)) {
    std::string all;
    for (const File& file : repository()) {
        for (const std::string& finding : check(file)) all += finding + "\n";
    }
    INFO(all);
    CHECK(all.empty());
}

bool is_shell_script(const File& file) {
    const auto first = file.text.substr(0, file.text.find('\n'));
    return file.path.ends_with(".sh") ||
           (first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("/sh")));
}

}  // namespace

TEST_CASE("tidy: the tree is there") {
    CHECK(repository().size() > 100);
    CHECK(std::any_of(repository().begin(), repository().end(),
                      [](const File& file) { return file.path == "base/result.h"; }));
}

TEST_CASE("tidy: includes follow the picture of the architecture") {
    expect_none(check_direction);
}

TEST_CASE("tidy: third-party headers stay behind their fences") {
    expect_none(check_fences);
}

TEST_CASE("tidy: no banned word") {
    expect_none(check_words);
}

TEST_CASE("tidy: files are short and lines fit") {
    expect_none(check_shape);
}

TEST_CASE("tidy: no path of one machine") {
    expect_none(check_paths);
}

TEST_CASE("tidy: every source file is built") {
    std::string all;
    for (const std::string& finding : check_built(repository())) all += finding + "\n";
    INFO(all);
    CHECK(all.empty());
}

TEST_CASE("tidy: shell scripts parse") {
    std::size_t scripts = 0;
    for (const File& file : repository()) {
        if (!is_shell_script(file)) continue;
        ++scripts;
        const auto outcome = run(DROVER_ROOT, {"bash", "-n", file.path});
        INFO(outcome.output);
        CHECK(outcome.status == 0);
    }
    CHECK(scripts > 0);
}

TEST_CASE("tidy: every error has its row in docs/errors.md") {
    const auto listed = run(DROVER_ROOT, {"bash", "scripts/list-errors"});
    REQUIRE(listed.status == 0);
    CHECK(listed.output.find("not_signed_in\n") != std::string::npos);
    const auto document =
        std::find_if(repository().begin(), repository().end(),
                     [](const File& file) { return file.path == "docs/errors.md"; });
    REQUIRE(document != repository().end());
    std::string all;
    for (const std::string& finding : check_documented(listed.output, document->text))
        all += finding + "\n";
    INFO(all);
    CHECK(all.empty());
}
