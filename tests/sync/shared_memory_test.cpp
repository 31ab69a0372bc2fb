// shared_memory: memory with a name.
#include "brood/sync/shared_memory.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "brood/channel/queue.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using test::memory;

namespace {

std::string unused_name() { return "named-memory-test-" + std::to_string(::getpid()); }
bool exists(const std::string& name) { return ::access(("/dev/shm/" + name).c_str(), F_OK) == 0; }

/// The errno with which `act` fails; 0 if it does not.
template <class F>
int error_of(F act) {
  try {
    act();
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

}  // namespace

TEST_CASE("test_shared_memory_basics: create, attach, see each other's writes, unlink") {
  memory m;
  const std::string name = unused_name();
  const shared_memory made = shared_memory::create(name, 5000);
  CHECK(made.name() == name);
  CHECK(made.size() == 5000);
  CHECK(std::ranges::count(made.bytes(), std::byte{0}) == 5000);
  const shared_memory attached = shared_memory::attach("/" + name);
  CHECK(attached.size() == 5000);
  CHECK(attached.data() != made.data());
  made.bytes()[42] = std::byte{7};
  CHECK(attached.bytes()[42] == std::byte{7});
  CHECK(error_of([&] { shared_memory::create(name, 10); }) == EEXIST);
  CHECK_THROWS_WITH(shared_memory::create(name, 10), contains_text(name) && contains_text("File exists"));
  CHECK(exists(name));
  made.unlink();
  CHECK_FALSE(exists(name));
  CHECK(error_of([&] { made.unlink(); }) == ENOENT);
  CHECK(error_of([&] { shared_memory::unlink(name); }) == ENOENT);
  CHECK(error_of([&] { shared_memory::attach(name); }) == ENOENT);
  CHECK_THROWS_WITH(shared_memory::attach(name), contains_text(name) && contains_text("No such file"));
  CHECK(attached.bytes()[42] == std::byte{7});  // what is mapped stays
  const shared_memory copy = attached;
  CHECK(copy == attached);
  CHECK(copy.data() == attached.data());
}

TEST_CASE("test_shared_memory_recreate: a name that was unlinked is free") {
  memory m;
  const std::string name = unused_name();
  const shared_memory first = shared_memory::create(name, 100);
  first.unlink();
  const shared_memory second = shared_memory::create(name, 200);
  first.bytes()[0] = std::byte{1};
  CHECK(second.bytes()[0] == std::byte{0});
  CHECK(shared_memory::attach(name).size() == 200);
  second.unlink();
}

TEST_CASE("a name of its own") {
  memory m;
  const shared_memory a = shared_memory::create(10);
  const shared_memory b = shared_memory::create(10);
  CHECK(a.name() != b.name());
  CHECK(exists(a.name()));
  a.unlink();
  b.unlink();
}

TEST_CASE("_invalid_creation, _name_with_embedded_null: refused before anything is made") {
  memory m;
  const std::string name = unused_name();
  for (const std::string& bad :
       {std::string(), std::string("/"), std::string("a/b"), std::string("."), std::string(".."),
        std::string("a\0b", 3), std::string(256, 'x'), std::string("//x")}) {
    CHECK_THROWS_AS(shared_memory::create(bad, 10), std::invalid_argument);
    CHECK_THROWS_AS(shared_memory::attach(bad), std::invalid_argument);
    CHECK_THROWS_AS(shared_memory::unlink(bad), std::invalid_argument);
  }
  CHECK_THROWS_AS(shared_memory::create(name, 0), std::invalid_argument);
  CHECK_THROWS_AS(shared_memory::create(name, static_cast<std::size_t>(-1)), std::invalid_argument);
  CHECK(error_of([&] { shared_memory::create(name, std::size_t{1} << 50); }) == ENOSPC);
  CHECK_FALSE(exists(name));
  CHECK(shared_memory().empty());
  CHECK(shared_memory().name().empty());
}

TEST_CASE("test_shared_memory_across_processes: by name and by handle") {
  memory m;
  const shared_memory made = shared_memory::create(unused_name(), 100);
  queue<shared_memory> q(2);
  CHECK(q.try_put(made));
  CHECK(q.try_put(shared_memory()));
  test::child other([&] {
    const shared_memory by_name = shared_memory::attach(made.name());
    by_name.bytes()[0] = std::byte{1};
    const auto by_handle = q.try_get();
    by_handle->bytes()[1] = std::byte{2};
    if (!q.try_get()->empty()) throw std::runtime_error("nothing became something");
  });
  CHECK(other.join() == 0);
  CHECK(made.bytes()[0] == std::byte{1});
  CHECK(made.bytes()[1] == std::byte{2});
  CHECK(exists(made.name()));  // who only attached does not take it away
  made.unlink();
  CHECK(q.try_put(made));
  CHECK(error_of([&] { (void)q.try_get(); }) == ENOENT);  // test_shared_memory_pickle_unpickle_dead_object
}

TEST_CASE("a name outlives the child that created it, but not the family") {
  memory m;
  const std::string name = unused_name();
  for (const bool killed : {false, true}) {
    test::child creator([&] {
      const shared_memory made = shared_memory::create(name, 100);
      made.bytes()[5] = std::byte{5};
      if (killed) ::kill(::getpid(), SIGKILL);
    });
    CHECK(creator.join() == (killed ? -SIGKILL : 0));
    CHECK(shared_memory::attach(name).bytes()[5] == std::byte{5});
    if (killed) {
      shared_memory::unlink(name);
    } else {
      detail::unlink_names_of_family();
      CHECK_FALSE(exists(name));
      CHECK(error_of([&] { shared_memory::unlink(name); }) == ENOENT);
      const shared_memory again = shared_memory::create(name, 100);  // what was registered does not matter
      again.unlink();
    }
  }
}

TEST_CASE("somebody else's object of that name is left alone") {
  memory m;
  const std::string name = unused_name();
  const shared_memory made = shared_memory::create(name, 100);
  REQUIRE(::unlink(("/dev/shm/" + name).c_str()) == 0);  // behind our back
  const int fd = ::open(("/dev/shm/" + name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  REQUIRE(fd >= 0);
  ::close(fd);
  detail::unlink_names_of_family();
  CHECK(exists(name));
  made.unlink();
}

TEST_CASE("one that persists is not the family's any more") {
  memory m;
  const shared_memory made = shared_memory::create(unused_name(), 100);
  made.persist();
  detail::unlink_names_of_family();
  CHECK(exists(made.name()));
  made.unlink();
}

TEST_CASE("an empty or foreign file is no shared memory") {
  memory m;
  const std::string name = unused_name();
  const int fd = ::open(("/dev/shm/" + name).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  REQUIRE(fd >= 0);
  CHECK(error_of([&] { shared_memory::attach(name); }) == EINVAL);
  ::close(fd);
  shared_memory::unlink(name);
}
