#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include <freestone/backing/concept.hpp>

namespace freestone::backing {

// The bytes of one backing and the notes of another: a device's memory with its map in plain RAM, a shared zone whose
// map stays private. All that `Data` can do, this can do; it is shared only if both are.
template <class Data, class Notes>
class WithNotes : public Data {
  static_assert(!can_publish<Data> || !can_publish<Notes>,
                "WithNotes takes one part that has a name: of two, one could be seen without the other.");

 public:
  static constexpr bool shared = Data::shared && Notes::shared;

  constexpr WithNotes(Data data, Notes notes) noexcept : Data(std::move(data)), notes_(std::move(notes)) {}

  // Fails as either does, and then leaves nothing of the other behind.
  static constexpr Result<WithNotes> create(const BackingRequest& request) noexcept
    requires can_create<Data> && can_create<Notes>
  {
    return over(Data::create(without_notes(request)), request);
  }
  template <class Settings>
  static constexpr Result<WithNotes> create(const BackingRequest& request, const Settings& settings) noexcept
    requires can_create_with<Data, Settings> && can_create<Notes>
  {
    return over(Data::create(without_notes(request), settings), request);
  }

  // Who takes one up has taken up both, and gives them to the zone.
  static void attach() = delete;

  constexpr std::span<std::uint64_t> notes() noexcept { return notes_.notes(); }

  // Of the part that has a name.
  constexpr Result<void> publish() noexcept
    requires can_publish<Data> || can_publish<Notes>
  {
    if constexpr (can_publish<Notes>) {
      return notes_.publish();
    } else {
      return Data::publish();
    }
  }
  constexpr bool published() const noexcept
    requires can_publish<Data> || can_publish<Notes>
  {
    if constexpr (can_publish<Notes>) {
      return notes_.published();
    } else {
      return Data::published();
    }
  }

 private:
  static constexpr BackingRequest without_notes(BackingRequest request) noexcept {
    request.notes_words = 0;
    return request;
  }
  static constexpr Result<WithNotes> over(Result<Data> data, const BackingRequest& request) noexcept {
    if (!data) return data.error();
    auto notes = Notes::create(
        {.name = request.name, .size = 0, .granule = request.granule, .notes_words = request.notes_words});
    if (!notes) return notes.error();
    return WithNotes(*std::move(data), *std::move(notes));
  }

  Notes notes_;
};

}  // namespace freestone::backing
