// Rows of the table of ops: layers whose edges are data.
#pragma once

#include <vector>

#include "support/op_harness.h"

namespace rewire::test {

std::vector<Op> wired_rows();

}  // namespace rewire::test
