// A program with more rights than its user: nothing that he passes to it makes it do what it was not written for.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "catch.hpp"
#include "helper_program.hpp"

namespace {

constexpr uid_t nobody = 65534;

/// run_app as a set-user-ID program in a folder of its own; empty where this process cannot have one.
class set_user_id_program {
 public:
  set_user_id_program() {
    if (geteuid() != 0) return;
    std::filesystem::create_directories(folder_);
    struct statvfs system{};
    if (statvfs(folder_.c_str(), &system) != 0 || (system.f_flag & ST_NOSUID) != 0) return;
    chmod(folder_.c_str(), 0777);
    std::filesystem::copy_file(helper_program::path_of("run_app"), path());
    chmod(path().c_str(), 04755);
  }
  ~set_user_id_program() { std::filesystem::remove_all(folder_); }
  set_user_id_program(const set_user_id_program&) = delete;
  set_user_id_program& operator=(const set_user_id_program&) = delete;

  std::string path() const { return folder_ / "program"; }
  std::string file() const { return folder_ / "trace"; }

  /// As another user; its exit code, or -1 where it could not be started.
  int run(const std::string& first, const std::string& second) const {
    if (!std::filesystem::exists(path())) return -1;
    const pid_t pid = fork();
    if (pid == 0) {
      setenv("BROOD_TRACE", file().c_str(), 1);
      setenv("BROOD_LOG", "no such level", 1);
      if (setgid(nobody) != 0 || setuid(nobody) != 0) _exit(126);
      execl(path().c_str(), path().c_str(), first.c_str(), second.c_str(), nullptr);
      _exit(126);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("brood-privileged-" + std::to_string(getpid()));
};

}  // namespace

TEST_CASE("a set-user-ID program takes neither BROOD_TRACE nor BROOD_LOG from its user") {
  const set_user_id_program program;
  const int code = program.run("code", "7");
  if (code == -1 || code == 126) return;  // not root, or files that nobody may execute here
  CHECK(code == 7);
  CHECK_FALSE(std::filesystem::exists(program.file()));
}

TEST_CASE("a set-user-ID program does not run functions for whoever passes it descriptors") {
  const set_user_id_program program;
  const int function = program.run("--brood-internal", "function");
  if (function == -1 || function == 126) return;
  CHECK(function == 127);
  CHECK_FALSE(std::filesystem::exists(program.file()));
}
