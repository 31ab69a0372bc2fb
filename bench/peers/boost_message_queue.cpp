// Boost.Interprocess message_queue: the C++ queue between processes that people reach for.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "../channel_race.hpp"
#include "../measure.hpp"

namespace {

namespace interprocess = boost::interprocess;

/// Named, as it has to be, by this process; removed at the end.
class named_queue {
 public:
  named_queue(std::size_t capacity, std::size_t size)
      : name_("brood_bench_" + std::to_string(getpid())),
        queue_(interprocess::create_only, name_.c_str(), capacity, size) {}
  named_queue(const named_queue&) = delete;
  named_queue& operator=(const named_queue&) = delete;
  ~named_queue() { interprocess::message_queue::remove(name_.c_str()); }

  interprocess::message_queue& get() { return queue_; }

 private:
  std::string name_;
  interprocess::message_queue queue_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Boost.Interprocess message_queue: messages a second");
  long count = 100'000;
  std::size_t size = 64;
  int producers = 1;
  int consumers = 1;
  bool bytes = false;
  app.add_option("--count", count, "messages");
  app.add_option("--size", size, "bytes of a message")->check(CLI::Range(16, 1 << 24));
  app.add_option("--producers", producers);
  app.add_option("--consumers", consumers);
  app.add_flag("--gigabytes", bytes, "print GB/s, not messages a second");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    named_queue queue(size <= 1024 ? 1024 : 8, size);
    const double rate = bench::race(
        producers, consumers, count,
        [&](int, long share) {
          auto message = std::make_unique<std::byte[]>(size);
          for (long i = 0; i < share; ++i) {
            bench::stamp(message.get(), size, i);
            queue.get().send(message.get(), size, 0);
          }
        },
        [&](int, long share) {
          auto message = std::make_unique<std::byte[]>(size);
          for (long i = 0; i < share; ++i) {
            interprocess::message_queue::size_type got = 0;
            unsigned priority = 0;
            queue.get().receive(message.get(), size, got, priority);
            bench::require(got == size, "size of a message");
            const long number = bench::stamp_of(message.get(), size);
            bench::require(producers > 1 || consumers > 1 || number == i, "order of messages");
          }
        });
    bench::report(bytes ? rate * static_cast<double>(size) * 1e-9 : rate);
  });
}
