#include "bench/copy_tools.h"

#include "bench/measure.h"
#include "wire/tcp.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

namespace drover::bench {
namespace {

constexpr const char* user = "bench";
constexpr const char* tls_object = "tls-creds-psk,id=tls,dir=";

std::uint16_t free_port() {
    auto socket = wire::listen_tcp("127.0.0.1", 0);
    if (!socket) fail(socket.error().text());
    return wire::port_of(socket->get());
}

void wait_listening(Child& server, std::uint16_t port, const std::string& log) {
    constexpr int looks_max = 1000;
    for (int look = 0; look < looks_max && !server.has_ended(); ++look) {
        if (wire::dial_tcp("127.0.0.1", port, wire::deadline_in(1'000))) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    fail("the NBD server does not answer; see " + log);
}

std::vector<std::string> server_command(const LoopDisk& disk, std::uint16_t port,
                                        const std::string& keys) {
    std::vector<std::string> out = {"/usr/bin/qemu-nbd", "--persistent",   "--format=raw",
                                    "--cache=none",      "--aio=native",   "--shared=16",
                                    "--bind=127.0.0.1",  "--discard=unmap"};
    out.push_back("--port=" + std::to_string(port));
    if (!keys.empty()) {
        out.insert(out.end(), {"--object", tls_object + keys + ",endpoint=server"});
        out.insert(out.end(), {"--tls-creds", "tls"});
    }
    out.push_back(disk.path());
    return out;
}

}  // namespace

NbdServer::NbdServer(const LoopDisk& disk, const std::string& keys, const std::string& log)
    : port_(free_port()),
      child_(std::make_unique<Child>(server_command(disk, port_, keys), log, "", SIGTERM)) {
    wait_listening(*child_, port_, log);
}

std::string make_tls_keys(const std::string& directory) {
    const std::string keys = directory + "/tls";
    std::filesystem::create_directory(keys);
    (void)seconds_of(std::string("psktool -u ") + user + " -p " + keys + "/keys.psk",
                     directory + "/psktool.log");
    return keys;
}

double seconds_of(const std::string& command, const std::string& log) {
    const double began = now_us();
    Child child({"/bin/sh", "-c", "exec " + command}, log, "", SIGTERM);
    if (child.wait() != 0) fail("failed: " + command + "; see " + log);
    return (now_us() - began) / 1e6;
}

std::string nbdcopy_command(const LoopDisk& source, const NbdServer& to, const std::string& keys,
                            Copy copy) {
    const std::string server = "127.0.0.1:" + std::to_string(to.port());
    const std::string url = keys.empty() ? "nbd://" + server
                                         : std::string("nbds://") + user + "@" + server +
                                               "/?tls-psk-file=" + keys + "/keys.psk";
    // Of the file behind the device it would see the holes, which no tool sees in a disk.
    const std::string from = copy != Copy::dense
                                 ? "-- [ qemu-nbd --read-only --format=raw --cache=none "
                                   "--aio=native --shared=16 " +
                                       source.path() + " ]"
                                 : source.file();
    return "nbdcopy --flush --request-size=1048576 " +
           std::string(copy == Copy::sparse_to_blank ? "--destination-is-zero " : "") + from +
           " '" + url + "'";
}

std::string qemu_img_command(const LoopDisk& source, const NbdServer& to, const std::string& keys,
                             Copy copy) {
    const std::string tls = keys.empty() ? "" : ",tls-creds=tls";
    const std::string object = keys.empty() ? ""
                                            : std::string("--object ") + tls_object + keys +
                                                  ",endpoint=client,username=" + user;
    return "qemu-img convert " + object + " -n -W -m 16 " +
           (copy == Copy::sparse_to_blank ? "--target-is-zero " : "") +
           "--image-opts -T none driver=raw," +
           "file.driver=host_device,file.filename=" + source.path() +
           " --target-image-opts driver=nbd,server.type=inet,server.host=127.0.0.1,server.port=" +
           std::to_string(to.port()) + tls;
}

std::string rsync_command(const LoopDisk& source, const LoopDisk& target) {
    return "rsync --inplace --ignore-times --no-whole-file --block-size=4096 --copy-devices "
           "--write-devices " +
           source.path() + " " + target.path();
}

}  // namespace drover::bench
