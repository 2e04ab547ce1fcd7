// A rule that cannot fail is no rule: each check is shown a sample that breaks it and one that does
// not.
#include "checks.h"

#include <catch2/catch.hpp>

using namespace drover::tidy;

TEST_CASE("checks: an include against the direction is found, one along it is not") {
    CHECK(check_direction({"statemachine/a.cc", "#include \"eventlog/log.h\"\n"}).size() == 1);
    CHECK(check_direction({"base/a.h", "#  include \"schemas/model.h\"\n"}).size() == 1);
    CHECK(check_direction({"cli/a.cc", "#include \"orchestrator/engine.h\"\n"}).size() == 1);
    CHECK(check_direction({"replicator/a.cc", "#include \"agent/a.h\"\n"}).size() == 1);
    CHECK(check_direction({"agent/a.cc", "\n#include \"tests/fake.h\"\n"}).front() ==
          "agent/a.cc:2: agent must not include tests");
    CHECK(check_direction({"agent/a.cc", "#include \"journal.h\"\n"}).size() == 1);
    CHECK(check_direction({"agent/a.cc", "#include \"replicator/device.h\"\n#include <vector>\n"})
              .empty());
    CHECK(check_direction({"tests/a.cc", "#include \"orchestrator/engine.h\"\n"}).empty());
    CHECK(check_direction({"agent/a.cc", "// see #include \"eventlog/log.h\"\n"}).empty());
}

TEST_CASE("checks: a fenced header outside its fence is found") {
    CHECK(check_fences({"orchestrator/engine.cc", "#include <rocksdb/db.h>\n"}).size() == 1);
    CHECK(check_fences({"agent/main.cc", "#include <boost/beast/http.hpp>\n"}).size() == 1);
    CHECK(check_fences({"wire/tcp.cc", "#include <spdlog/spdlog.h>\n"}).size() == 1);
    CHECK(check_fences({"eventlog/rocksdb_store.h", "#include <rocksdb/db.h>\n"}).size() == 1);
    CHECK(check_fences({"eventlog/rocksdb_store.cc", "#include <rocksdb/db.h>\n"}).empty());
    CHECK(check_fences(
              {"statemachine/transitions.cc", "#include <boost/msm/back/state_machine.hpp>\n"})
              .empty());
}

TEST_CASE("checks: a banned word is found where it is banned") {
    const std::string clock = std::string("auto t = std::chrono::system_clock") + "::now();\n";
    CHECK(check_words({"statemachine/decide.cc", clock}).size() == 1);
    CHECK(check_words({"base/clock.cc", clock}).empty());
    const std::string sleep = std::string("std::this_thread::sleep") + "_for(1s);\n";
    CHECK(check_words({"orchestrator/engine.cc", sleep}).size() == 1);
    CHECK(check_words({"agent/hooks.cc", sleep}).empty());
    const std::string note = std::string("// TO") + "DO: later\n";
    CHECK(check_words({"tests/x/a.cc", note}).size() == 1);
    CHECK(check_words({"docs/a.md", note}).empty());
    CHECK(check_words({"statemachine/job.h", "std::unordered_map<int, int> m;\n"}).size() == 1);
    CHECK(check_words({"wire/a.h", "std::unordered_map<int, int> m;\n"}).empty());
}

TEST_CASE("checks: long files, long lines, tabs and stray blanks are found") {
    CHECK(check_shape({"base/a.h", std::string(columns_max, 'x') + "\n"}).empty());
    CHECK(check_shape({"base/a.h", std::string(columns_max + 1, 'x') + "\n"}).size() == 1);
    CHECK(check_shape({"base/a.h", "// " + std::string(110, 'x') + "\n"}).empty());
    CHECK(check_shape({"base/a.h", "// " + std::string(text_columns_max, 'x') + "\n"}).size() == 1);
    std::string arrows;
    for (std::size_t i = 0; i < columns_max; ++i) arrows += "─";
    CHECK(check_shape({"base/a.h", arrows + "\n"}).empty());
    CHECK(check_shape({"base/a.h", "\tint a;\n"}).size() == 1);
    CHECK(check_shape({"base/a.h", "int a; \n"}).size() == 1);
    CHECK(check_shape({"base/a.h", "int a;"}).size() == 1);
    std::string lines;
    for (std::size_t i = 0; i < lines_max; ++i) lines += "int a;\n";
    CHECK(check_shape({"base/a.h", lines}).empty());
    CHECK(check_shape({"base/a.h", lines + "int a;\n"}).size() == 1);
    CHECK(check_shape({"docs/a.md", std::string(300, 'x') + "\n"}).empty());
}

TEST_CASE("checks: a path of one machine is found in any file") {
    const std::string path = std::string("/wo") + "rk/";
    CHECK(check_paths({"docs/a.md", "see " + path + "main\n"}).size() == 1);
    CHECK(check_paths({"scripts/x", path + "a " + path + "b\n"}).size() == 2);
    CHECK(check_paths({"scripts/x", "$root" + path + "a build" + path + "b\n"}).empty());
    CHECK(check_paths({"a.h", "/var/lib/drover /etc/drover\n"}).empty());
}

TEST_CASE("checks: a source file that nobody builds is found") {
    const std::vector<File> files{{"base/CMakeLists.txt", "drover_library(base a.cc)\n"},
                                  {"base/a.cc", ""},
                                  {"base/b.cc", ""},
                                  {"base/c.h", ""},
                                  {"tests/x/CMakeLists.txt", "drover_test(x SOURCES deep/d.cc)\n"},
                                  {"tests/x/deep/d.cc", ""},
                                  {"base/x/x.cmake", "add_library(y f.cc)\n"},
                                  {"base/f.cc", ""},
                                  {"tools/e.cc", ""}};
    CHECK(check_built(files) == Findings{"base/b.cc:1: named in no CMakeLists.txt",
                                         "tools/e.cc:1: named in no CMakeLists.txt"});
}

TEST_CASE("checks: an id without a row in the document is found, and a row without an id") {
    CHECK(check_documented("a_b\nc_d\n", "| `a_b` | x |\nalso `c_d` in prose\n") ==
          Findings{"docs/errors.md:1: does not explain c_d"});
    CHECK(check_documented("a_b\n", "| `a_b` | x |\n| `old` | x |\n| `a_WHAT_b` | x |\n") ==
          Findings{"docs/errors.md:2: twice, or not in the code: old"});
    CHECK(check_documented("", "").empty());
}
