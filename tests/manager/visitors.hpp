// A class that two programs share by names of their own.
#pragma once

#include <string>
#include <vector>

#include "brood/manager/manager.hpp"

class visitors {
 public:
  int came(const std::string& name) {
    names_.push_back(name);
    return static_cast<int>(names_.size());
  }
  std::vector<std::string> names() const { return names_; }
  brood::generator<std::string> walk() const {
    for (const std::string& name : names_) co_yield name;
  }

 private:
  std::vector<std::string> names_;
};

inline const brood::registered_class<visitors> visitors_name("test.visitors");
inline const brood::registered_method<visitors, &visitors::came> came_name("test.visitors.came");
inline const brood::registered_method<visitors, &visitors::walk> walk_name("test.visitors.walk");
