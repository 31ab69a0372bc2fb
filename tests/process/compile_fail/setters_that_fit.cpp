// expect: nothing
#include <brood/brood.hpp>

int f();

brood::task<> app() {
  co_await brood::spawn<f>().uid(1).detached();
  co_await brood::pool::open(2).uid(1).nice(3).limit(brood::resource::files, 64);
  co_await brood::command("x").arg0("y").fd(3, 0).parent_death_signal(0).status();
}
