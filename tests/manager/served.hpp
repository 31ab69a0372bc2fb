// A manager for one test, in a child or in this process, and the proof that nothing of it is left.
#pragma once

#include <utility>

#include "brood/manager/manager.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

template <class Body>
brood::task<> with_manager(Body& body, bool here) {
  brood::start_manager starting = brood::manager::start();
  if (here) std::move(starting).in_this_process();
  brood::manager m = co_await std::move(starting);
  co_await body(m);
  co_await m.shutdown();
}

/// `body(m)` is a coroutine; runs with a server in this process.
template <class Body>
void served(Body body) {
  run_clean([&] { return with_manager(body, true); });
}
/// And in a child.
template <class Body>
void served_by_a_child(Body body) {
  run_clean([&] { return with_manager(body, false); });
}

/// The type of the exception that `operation` throws; of a remote one the type there, after "remote ".
template <class Operation>
brood::task<std::string> error_of(Operation operation) {
  try {
    co_await std::move(operation);
  } catch (const brood::remote_error& e) {
    co_return "remote " + e.type();
  } catch (const std::exception& e) {
    co_return brood::detail::type_name(typeid(e));
  }
  co_return "nothing";
}
