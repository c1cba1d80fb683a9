#include "kernels/cpu/neuron_structure.h"

#include <algorithm>
#include <numeric>

namespace rewire::kernels {
namespace {

// Turns counts, at [1 + key], into the offsets of each key's entries.
void accumulate(std::span<int32_t> offsets) {
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
}

// offsets [keys + 1] of `keys`, each in [0, keys).
template <typename Key>
void count(int64_t num_entries, Key&& key, std::span<int32_t> offsets) {
  std::fill(offsets.begin(), offsets.end(), 0);
  for (int64_t i = 0; i < num_entries; ++i) ++offsets[key(i) + 1];
  accumulate(offsets);
}

// Neurons that wait together are one task, which comes after all that its neurons read.
struct Tasks {
  std::vector<int32_t> of;       // [neurons]
  std::vector<int32_t> offsets;  // [tasks + 1]
  std::vector<int32_t> members;  // [neurons] neurons by task
};

Tasks tasks_of(int64_t num_neurons, std::span<const int32_t> operations) {
  Tasks tasks{std::vector<int32_t>(num_neurons), {}, std::vector<int32_t>(num_neurons)};
  std::iota(tasks.of.begin(), tasks.of.end(), 0);
  std::iota(tasks.members.begin(), tasks.members.end(), 0);
  if (!operations.empty()) {
    // Ids are any numbers: sorted, equal ones are neighbours.
    std::stable_sort(tasks.members.begin(), tasks.members.end(),
                     [&](int32_t a, int32_t b) { return operations[a] < operations[b]; });
    int32_t task = -1, before = -1;
    for (const int32_t neuron : tasks.members) {
      if (operations[neuron] < 0 || operations[neuron] != before) ++task;
      before = operations[neuron];
      tasks.of[neuron] = task;
    }
  }
  const int64_t num_tasks = num_neurons == 0 ? 0 : tasks.of[tasks.members.back()] + 1;
  tasks.offsets.resize(num_tasks + 1);
  count(
      num_neurons, [&](int64_t i) { return tasks.of[i]; }, tasks.offsets);
  return tasks;
}

// Walks back through tasks that wait until it meets one again.
std::vector<int32_t> find_cycle(const NeuronEdges& edges, const Tasks& tasks,
                                std::span<const int32_t> levels) {
  const int64_t num_neurons = edges.num_neurons;
  // Of each neuron without a level one source without one, if it has one.
  std::vector<int32_t> cause(num_neurons, -1);
  for (size_t e = 0; e < edges.sources.size(); ++e) {
    if (levels[edges.targets[e]] < 0 && levels[edges.sources[e]] < 0) {
      cause[edges.targets[e]] = edges.sources[e];
    }
  }
  const auto first = std::find(levels.begin(), levels.end(), -1);
  if (first == levels.end()) return {};
  // A task that waits has a member that reads one that waits; the walk goes through that one.
  std::vector<int32_t> seen_at(num_neurons, -1), path;
  for (int32_t neuron = first - levels.begin();;) {
    const int32_t task = tasks.of[neuron];
    if (cause[neuron] < 0) {
      const auto* member = &tasks.members[tasks.offsets[task]];
      neuron = *std::find_if(member, &tasks.members[0] + tasks.offsets[task + 1],
                             [&](int32_t n) { return cause[n] >= 0; });
    }
    if (seen_at[neuron] >= 0) {
      std::vector<int32_t> cycle(path.begin() + seen_at[neuron], path.end());
      std::reverse(cycle.begin(), cycle.end());
      return cycle;
    }
    seen_at[neuron] = path.size();
    path.push_back(neuron);
    neuron = cause[neuron];
  }
}

}  // namespace

std::vector<int32_t> find_levels(const NeuronEdges& edges, std::span<const int32_t> inputs,
                                 std::span<const int32_t> operations, std::span<int32_t> levels) {
  const int64_t num_neurons = edges.num_neurons, num_edges = edges.sources.size();
  const Tasks tasks = tasks_of(num_neurons, operations);
  const int64_t num_tasks = tasks.offsets.size() - 1;
  std::vector<int32_t> offsets(num_neurons + 1), targets(num_edges);
  count(
      num_edges, [&](int64_t e) { return edges.sources[e]; }, offsets);
  std::vector<int32_t> next(offsets.begin(), offsets.end() - 1);
  for (int64_t e = 0; e < num_edges; ++e) targets[next[edges.sources[e]]++] = edges.targets[e];

  std::vector<int32_t> waits_for(num_tasks, 0);
  for (int64_t e = 0; e < num_edges; ++e) ++waits_for[tasks.of[edges.targets[e]]];
  std::vector<int32_t> level(num_tasks, 1), ready;
  ready.reserve(num_tasks);
  for (const int32_t input : inputs) level[tasks.of[input]] = 0;
  for (int64_t task = 0; task < num_tasks; ++task) {
    if (waits_for[task] == 0) ready.push_back(task);
  }
  std::fill(levels.begin(), levels.end(), -1);
  for (size_t i = 0; i < ready.size(); ++i) {
    const int32_t task = ready[i];
    for (int32_t m = tasks.offsets[task]; m < tasks.offsets[task + 1]; ++m) {
      const int32_t source = tasks.members[m];
      levels[source] = level[task];
      for (int32_t e = offsets[source]; e < offsets[source + 1]; ++e) {
        const int32_t reader = tasks.of[targets[e]];
        level[reader] = std::max(level[reader], level[task] + 1);
        if (--waits_for[reader] == 0) ready.push_back(reader);
      }
    }
  }
  return int64_t(ready.size()) == num_tasks ? std::vector<int32_t>()
                                            : find_cycle(edges, tasks, levels);
}

void order_neurons(const NeuronEdges& edges, std::span<const int32_t> inputs,
                   std::span<const int32_t> levels, std::span<const int32_t> activations,
                   int32_t last_activation, std::span<int32_t> positions, const NeuronOrder& out) {
  const int64_t num_neurons = edges.num_neurons, num_edges = edges.sources.size();
  // Level by level, by index: first those that are not last. Inputs keep their own order.
  const std::span level_offsets(out.level_offsets, num_neurons + 1);
  count(
      num_neurons, [&](int64_t n) { return levels[n]; }, level_offsets);
  std::vector<int32_t> next(level_offsets.begin(), level_offsets.end() - 1);
  for (const bool last : {false, true}) {
    for (int64_t n = 0; n < num_neurons; ++n) {
      if (levels[n] > 0 && (activations[n] == last_activation) == last) {
        positions[n] = next[levels[n]]++;
      }
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) positions[inputs[i]] = i;
  for (int64_t n = 0; n < num_neurons; ++n) {
    out.neurons[positions[n]] = n;
    out.activations[positions[n]] = activations[n];
  }

  // Edges by target, then, going through those, by source, then again by target: in each row
  // sources ascend, and parallel edges keep their order.
  const std::span row_offsets(out.row_offsets, num_neurons + 1);
  const std::span column_offsets(out.column_offsets, num_neurons + 1);
  const auto row = [&](int64_t e) { return positions[edges.targets[e]]; };
  const auto column = [&](int64_t e) { return positions[edges.sources[e]]; };
  count(num_edges, row, row_offsets);
  count(num_edges, column, column_offsets);
  std::vector<int32_t> sorted(num_edges);
  next.assign(row_offsets.begin(), row_offsets.end() - 1);
  for (int64_t e = 0; e < num_edges; ++e) sorted[next[row(e)]++] = e;
  next.assign(column_offsets.begin(), column_offsets.end() - 1);
  std::vector<int32_t> by_source(num_edges);
  for (const int32_t e : sorted) by_source[next[column(e)]++] = e;
  next.assign(row_offsets.begin(), row_offsets.end() - 1);
  for (int64_t j = 0; j < num_edges; ++j) {
    const int32_t e = by_source[j];
    const int32_t place = next[row(e)]++;
    out.columns[place] = column(e);
    out.edges[place] = e;
    out.rows[j] = row(e);
    out.order[j] = place;
  }
}

void count_used(int64_t num_lists, const int32_t* offsets, const bool* mask,
                int32_t* used_offsets) {
  int32_t count = 0;
  for (int64_t list = 0; list < num_lists; ++list) {
    used_offsets[list] = count;
    for (int32_t e = offsets[list]; e < offsets[list + 1]; ++e) count += mask[e];
  }
  used_offsets[num_lists] = count;
}

bool all_below(const int32_t* numbers, int64_t count, int64_t bound) {
  int32_t least = 0, most = -1;
  for (int64_t i = 0; i < count; ++i) {
    least = std::min(least, numbers[i]);
    most = std::max(most, numbers[i]);
  }
  return least >= 0 && most < bound;
}

bool columns_ascend(const int32_t* row_offsets, const int32_t* columns, int64_t row,
                    int64_t bound) {
  const int32_t begin = row_offsets[row], end = row_offsets[row + 1];
  if (begin == end) return true;
  bool ascend = columns[begin] >= 0 && columns[end - 1] < bound;
  for (int32_t e = begin + 1; e < end; ++e) ascend &= columns[e - 1] <= columns[e];
  return ascend;
}

}  // namespace rewire::kernels
