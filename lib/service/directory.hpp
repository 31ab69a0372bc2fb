// Where services with a name are found: each has an abstract Unix address that only its family can say. The kernel keeps
// the list: names are unique, and go with the process that holds them, also when it is killed.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "brood/channel/listener.hpp"
#include "brood/coroutine/task.hpp"

namespace brood::detail {

class service_record;

/// Nothing if the name is taken, or no socket is to be had: then others do not find this service, and it runs all the same.
std::optional<listener> open_directory_entry(const std::string& name);
/// Answers whoever asks, until the listener is closed.
task<> answer_from(listener entry, std::shared_ptr<service_record> record);

}  // namespace brood::detail
