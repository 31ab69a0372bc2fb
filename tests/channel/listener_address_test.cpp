// Where listeners listen and how they are found: files, their rights and their remains, ports, other machines.
// (test_multiple_bind)
#include "listening.hpp"

TEST_CASE("test_multiple_bind: an address in use is an error") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      CHECK(errno_of_listening(l.address()) == EADDRINUSE);
      co_await exchange_with_a_good_client(l);
    }
    const listener l(f.at("s"), key);
    CHECK(errno_of_listening(f.path.string().insert(0, "unix:") + "/none/s") == ENOENT);
  });
}

TEST_CASE("a file that is no socket is left alone") {
  const folder f;
  run_clean([&f]() -> task<> {
    std::ofstream(f.path / "file") << "text";
    CHECK(errno_of_listening(f.at("file")) == EADDRINUSE);
    CHECK(std::filesystem::file_size(f.path / "file") == 4);
    std::filesystem::remove(f.path / "file");
    co_return;
  });
}

TEST_CASE("the same address again and again, at once") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (address where : every_kind(f)) {
      for (int i = 0; i < 30; ++i) {
        const listener l(where, key);
        if (where.type() == address::kind::tcp) where = l.address();
        co_await exchange_with_a_good_client(l);
        l.close();
      }
    }
  });
}

TEST_CASE("the file of a listener that was killed is replaced by the next") {
  const folder f;
  run_clean([&f]() -> task<> {
    auto program = co_await brood::command(peer_program(), "listen", f.at("s").text())
                       .stdin_(brood::piped)
                       .stdout_(brood::piped)
                       .spawn();
    co_await program.stdin_().write(std::string(key) + "\n");
    co_await program.stdout_().read_line();
    CHECK(errno_of_listening(f.at("s")) == EADDRINUSE);
    program.kill();
    co_await program.join();
    CHECK(std::filesystem::exists(f.path / "s"));
    {
      const auto got = co_await connect_failure(f.at("s"), key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    const listener l(f.at("s"), key);
    co_await exchange_with_a_good_client(l);
  });
}

TEST_CASE("a socket file is for its user only, in a folder for its user only, and goes with the listener") {
  const folder f;
  run_clean([&f]() -> task<> {
    const mode_t mask = umask(0);
    struct stat found{};
    {
      const listener l(f.at("s"), key);
      CHECK(stat((f.path / "s").c_str(), &found) == 0);
      CHECK((found.st_mode & 0777) == 0600);
      const listener copy = l;
    }
    CHECK_FALSE(std::filesystem::exists(f.path / "s"));
    const listener chosen;
    const std::filesystem::path path(chosen.address().name());
    CHECK(stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    CHECK(stat(path.parent_path().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0700);
    chosen.close();
    CHECK_FALSE(std::filesystem::exists(path.parent_path()));
    umask(mask);

    // Somebody else's file of the same name stays.
    const listener l(f.at("s"), key);
    std::filesystem::remove(f.path / "s");
    std::ofstream(f.path / "s") << "theirs";
    l.close();
    CHECK(std::filesystem::remove(f.path / "s"));
    co_return;
  });
}

TEST_CASE("a path that is nearly too long works") {
  const folder f;
  run_clean([&f]() -> task<> {
    std::string name = (f.path / "").string();
    name += std::string(107 - name.size(), 'x');
    const listener l("unix:" + name, key);
    co_await exchange_with_a_good_client(l);
  });
}

TEST_CASE("TCP from other machines must be asked for") {
  run_clean([]() -> task<> {
    CHECK_THROWS_AS(listener("tcp:0.0.0.0:0", key), std::invalid_argument);
    CHECK_THROWS_WITH(listener("tcp:0.0.0.0:0", key), contains_text("allow_remote"));
    listener::options settings;
    settings.allow_remote = true;
    const listener l("tcp:0.0.0.0:0", key, settings);
    const address here("tcp:127.0.0.1:" + std::to_string(l.address().port()));
    const auto connecting = [&here]() -> task<> { co_await connect<int, int>(here, key); };
    co_await brood::when_all(connecting(), accept_and_drop(l));
  });
}

TEST_CASE("nobody listens: the system's error, with the address") {
  const folder f;
  run_clean([&f]() -> task<> {
    {
      const auto got = co_await connect_failure(f.at("none"), key, 50ms);
      CHECK(errno_of(got) == ENOENT);
    }
    {
      const auto got = co_await connect_failure(abstract_name(), key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    address freed;
    {
      const listener l("tcp:127.0.0.1:0", key);
      freed = l.address();
    }
    {
      const auto got = co_await connect_failure(freed, key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    bool refused = false;
    try {
      co_await connect<int, int>(address(), key);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("connect waits for a listener that is still being started") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : {f.at("later"), address(abstract_name())}) {
      const auto listen_later = [&where]() -> task<> {
        co_await brood::sleep_for(
            20ms);  // the client has tried by then; if it has not, it finds the listener at once
        const listener l(where, key);
        co_await accept_and_drop(l);
      };
      const auto connecting = [&where]() -> task<> { co_await connect<int, int>(where, key); };
      co_await brood::when_all(connecting(), listen_later());
    }
  });
}
