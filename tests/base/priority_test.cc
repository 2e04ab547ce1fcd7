#include "base/priority.h"

#include "base/threads.h"

#include <catch2/catch.hpp>

#include <sys/resource.h>
#include <unistd.h>

namespace drover {
namespace {

int nice_of_this_thread() {
    return ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
}

TEST_CASE("priority: a thread that gives way does so alone, with those that it starts") {
    const int usual = nice_of_this_thread();
    int gives = 0;
    int of_child = 0;
    int again = 0;
    Thread thread([&] {
        give_way(true);
        give_way(true);
        gives = nice_of_this_thread();
        Thread child([&] { of_child = nice_of_this_thread(); });
        child.join();
        give_way(false);
        again = nice_of_this_thread();
    });
    thread.join();
    CHECK(gives >= 10);
    CHECK(of_child == gives);
    CHECK(nice_of_this_thread() == usual);
    // Only root may take back what it gave.
    CHECK(again == (::geteuid() == 0 ? usual : gives));
}

}  // namespace
}  // namespace drover
