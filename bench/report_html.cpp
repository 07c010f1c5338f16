#include <fmt/format.h>

#include <algorithm>

#include "advice.hpp"
#include "picture.hpp"
#include "report.hpp"
#include "report_html_style.hpp"
#include "text.hpp"

namespace freestone::bench {

namespace {

constexpr std::string_view missing = "–";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += c;
    }
  }
  return safe;
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", 100 * *share) : std::string(missing);
}
std::string bytes(const std::optional<std::uint64_t>& value) {
  return value ? human_bytes(*value) : std::string(missing);
}
std::string ratio(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : std::string(missing);
}

std::string latency_cells(const std::optional<Latency>& latency) {
  std::string cells;
  const auto add = [&](double Latency::*figure, std::string_view style) {
    cells +=
        fmt::format("<td{}>{}</td>", style, latency ? human_nanoseconds((*latency).*figure) : std::string(missing));
  };
  add(&Latency::mean, " class=\"edge\"");
  for (const auto figure : {&Latency::p50, &Latency::p99, &Latency::p999, &Latency::max}) add(figure, "");
  return cells;
}

std::string row_of(const Record& record, bool best) {
  return fmt::format(
      "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}{}<td class=\"edge\">{}</td><td>{}</td><td>{}</td></tr>\n",
      best ? " class=\"best\"" : "", escaped(record.contender().name), bytes(record.needed_bytes),
      ratio(record.needed_ratio), percent(record.refused), latency_cells(record.allocate),
      latency_cells(record.deallocate), bytes(record.metadata_bytes), percent(record.internal_fragmentation),
      percent(record.external_fragmentation));
}

std::string table_of(const TraceResult& result) {
  const std::string_view latency = "<th class=\"edge\">mean</th><th>p50</th><th>p99</th><th>p99.9</th><th>max</th>";
  std::string text = fmt::format(
      "<div class=\"wide\"><table>\n<tr><th></th><th></th><th></th><th></th><th class=\"group\" "
      "colspan=\"5\">allocate, ns</th>"
      "<th class=\"group\" colspan=\"5\">deallocate, ns</th><th class=\"edge\"></th><th class=\"group\" "
      "colspan=\"2\">lost to fragments</th></tr>\n"
      "<tr><th>strategy</th><th>needed</th><th>/ peak</th><th>refused</th>{0}{0}<th class=\"edge\">metadata</th>"
      "<th>inside</th><th>outside</th></tr>\n",
      latency);
  for (const Record& record : result.records) text += row_of(record, &record == result.advice.record);
  text += "</table></div>\n";
  std::string notes;
  for (const Record& record : result.records) {
    if (record.reason.empty()) continue;
    notes += fmt::format("<li>{}: {}</li>\n", escaped(record.contender().name), escaped(record.reason));
  }
  return notes.empty() ? text : text + "<ul class=\"notes\">\n" + notes + "</ul>\n";
}

std::string advice_of(const TraceResult& result) {
  std::string text = fmt::format("<div class=\"advice\"><p>{}</p>\n", escaped(result.advice.reason));
  if (!result.advice.policy.empty()) {
    std::string lines;
    for (const std::string& include : includes_for(*result.advice.record)) lines += include + "\n";
    text += fmt::format("<pre>{}</pre>\n", escaped(lines + "\n" + result.advice.policy));
  }
  return text + "</div>\n";
}

std::string key(std::string_view colour, std::string_view text) {
  return fmt::format(
      "<span><svg viewBox=\"0 0 10 10\"><rect class=\"{}\" width=\"10\" height=\"10\"/></svg>{}</span>\n", colour,
      text);
}

std::string legend_of(const TraceResult& result, bool refusals) {
  const SizeClasses classes(result.work);
  std::string text = "<div class=\"legend\">\n";
  for (unsigned i = 0; i < classes.count(); ++i) {
    text += key(fmt::format("s{}", i), "up to " + human_bytes(classes.upper_bound(i)));
  }
  text += key("zone", "free");
  if (refusals) text += key("refused", "refused in a zone of " + human_bytes(result.zone_bytes));
  return text + "<span>dashed: the peak of live bytes, which no zone can go below</span>\n</div>\n";
}

std::string figure_of(const TraceResult& result, const Record& record, std::string_view rank,
                      std::uint64_t full_scale) {
  const Picture picture = draw(result, record, full_scale);
  const std::string sampled =
      fmt::format(" Sampled: what lies at {} moments and {} heights, {} being too many to draw.", sampled_moments,
                  sampled_heights, counted(result.work.allocations(), "block"));
  return fmt::format("<figure><figcaption><b>{}</b>, the {}: {}, {:.3f} of the peak.{}</figcaption>\n{}</figure>\n",
                     escaped(record.contender().name), rank, human_bytes(*record.needed_bytes), *record.needed_ratio,
                     picture.sampled ? sampled : "", picture.svg);
}

// The maps of the strategies that need least and most, at one scale.
std::string pictures_of(const TraceResult& result) {
  std::vector<const Record*> served;
  for (const Record& record : result.records) {
    if (record.needed_bytes) served.push_back(&record);
  }
  if (served.empty()) return {};
  std::stable_sort(served.begin(), served.end(),
                   [](const Record* a, const Record* b) { return *a->needed_bytes < *b->needed_bytes; });
  const Record& best = *served.front();
  const Record& worst = *served.back();
  std::string text = "<h3>The map over time: events to the right, offsets upwards</h3>\n";
  text += figure_of(result, best, served.size() == 1 ? "only one that serves the trace" : "thriftiest",
                    *worst.needed_bytes);
  if (served.size() > 1) text += figure_of(result, worst, "hungriest that serves the trace", *worst.needed_bytes);
  return text + legend_of(result, best.refused.value_or(0) > 0 || worst.refused.value_or(0) > 0);
}

std::string section_of(const TraceResult& result) {
  const Workload& work = result.work;
  return fmt::format(
      "<section id=\"{0}\">\n<h2>{0}</h2>\n<p class=\"soft\">{1}, {2}, at most {3} live, in granules of {4}. "
      "Refusals are those of a zone of {5} ({6}).</p>\n{7}{8}{9}</section>\n",
      escaped(work.name), counted(work.events.size(), "event"), counted(work.allocations(), "block"),
      human_bytes(work.peak), human_bytes(work.granule), human_bytes(result.zone_bytes),
      result.zone_given ? "given by --zone" : "what the thriftiest need", advice_of(result), table_of(result),
      pictures_of(result));
}

// Needed over peak, all traces and strategies on one sheet.
std::string overview_of(const Report& report) {
  if (report.results.empty()) return {};
  std::string text =
      "<section>\n<h2>Memory needed, over the peak of live bytes</h2>\n<div class=\"wide\"><table>\n<tr><th>trace</th>";
  for (const Record& record : report.results.front().records)
    text += fmt::format("<th>{}</th>", escaped(record.contender().name));
  text += "<th>advice</th></tr>\n";
  for (const TraceResult& result : report.results) {
    text += fmt::format("<tr><td><a href=\"#{0}\">{0}</a></td>", escaped(result.work.name));
    for (const Record& record : result.records) text += fmt::format("<td>{}</td>", ratio(record.needed_ratio));
    const Record* best = result.advice.record;
    text += fmt::format("<td>{}</td></tr>\n", best == nullptr ? std::string(missing) : escaped(best->contender().name));
  }
  text += "</table></div>\n";
  for (const std::string& trace : report.left_out)
    text += fmt::format("<p class=\"soft\">Left out by --quick: {}</p>\n", escaped(trace));
  return text + "</section>\n";
}

}  // namespace

std::string html_report(const Report& report) {
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Freestone: which "
      "policy?</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<h1>Which policy should the heap use?</h1>\n"
      "<p>Each trace, a real history of allocations, was replayed through a zone of each strategy. <b>Needed</b> is "
      "the smallest "
      "zone found that serves the whole trace; the advice goes to whoever needs least and, within 2 % of that, is "
      "quickest.</p>\n"
      "<p class=\"soft\">Times are medians of rounds, in steps of {:.2g} ns; the clock's own {:.1f} ns are taken off. "
      "Lost inside: granted beyond what was asked for. Lost outside: free, but not in one piece. Both at the peak, in "
      "the "
      "needed zone.</p>\n",
      html_style, report.timer_resolution, report.timer_overhead);
  page += overview_of(report);
  for (const TraceResult& result : report.results) page += section_of(result);
  return page + "</body>\n</html>\n";
}

}  // namespace freestone::bench
