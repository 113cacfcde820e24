"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const options = { displaylogo: false, responsive: true, displayModeBar: false };
  const looks = {
    "spike": ["circle-open", "--warn"],
    "split": ["line-ns-open", "--soft"],
    "split-unexplained": ["triangle-down", "--bad"],
    "split-without-jump": ["x", "--bad"],
  };

  function axis(extra) {
    return Object.assign(
      { gridcolor: color("--rule"), linecolor: color("--rule"), zerolinecolor: color("--rule"), automargin: true }, extra);
  }

  function layout(extra) {
    return Object.assign({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: "system-ui, sans-serif", size: 12, color: color("--soft") },
      hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--rule"), font: { color: color("--ink") } },
      margin: { l: 8, r: 8, t: 6, b: 8 }, dragmode: narrow.matches ? false : "zoom",
    }, extra);
  }

  function drawCoverage() {
    const { symbols, months, share } = data.coverage;
    const box = document.getElementById("coverage");
    if (!box) return null;
    box.style.height = `${Math.max(90, 46 + 22 * symbols.length)}px`;
    return Plotly.react(box, [{
      type: "heatmap", x: months, y: symbols, z: share, zmin: 0, zmax: 1, ygap: 4, showscale: false, hoverongaps: false,
      colorscale: [[0, color("--gap-cell")], [0.999, color("--warn")], [1, color("--ok-cell")]],
      hovertemplate: "%{y}, %{x|%B %Y}: %{z:.1%} of the sessions<extra></extra>",
    }], layout({
      xaxis: axis({
        type: "date", showgrid: false, fixedrange: narrow.matches, ...(months.length <= 6 ? { dtick: "M1", tickformat: "%b %Y" } : {}),
      }),
      yaxis: axis({ autorange: "reversed", type: "category", showgrid: false, fixedrange: true, ticksuffix: "  " }),
    }), options);
  }

  // A logarithmic axis has ticks at 1, 2 and 5 times a power of ten; prices that stay near each other may meet none.
  function levels(prices) {
    const known = prices.filter((price) => price > 0);
    const low = Math.min(...known), high = Math.max(...known);
    if (!known.length || high >= 5 * low) return { nticks: 5, dtick: "D2" };
    const rough = (high - low) / 4 || low, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((times) => times * power >= rough) * power;
    const first = Math.ceil(low / step), last = Math.floor(high / step);
    return { tickmode: "array", tickvals: Array.from({ length: last - first + 1 }, (_, n) => (first + n) * step) };
  }

  function drawChart(chart, number) {
    const shapes = chart.bands.map((band) => ({
      type: "rect", xref: "x", yref: "paper", x0: band.from, x1: band.to, y0: 0, y1: 1, layer: "below", line: { width: 0 },
      fillcolor: band.kind === "gap" ? `rgba(${color("--bad-rgb")}, 0.16)` : `rgba(${color("--warn-rgb")}, 0.2)`,
    }));
    const notes = chart.bands.filter((band) => band.to - band.from > 0.08 * (chart.x[chart.x.length - 1] - chart.x[0])).map((band) => ({
      x: (band.from + band.to) / 2, y: 0.5, xref: "x", yref: "paper", text: band.kind, showarrow: false,
      font: { color: color(band.kind === "gap" ? "--bad" : "--warn"), size: 13 },
    }));
    const traces = [{
      type: "scatter", mode: "lines", x: chart.x, y: chart.y, connectgaps: false,
      line: { color: color("--accent"), width: 1.3 }, hovertemplate: "%{x|%Y-%m-%d}  %{y:,.2f}<extra></extra>",
    }];
    for (const [kind, [symbol, tone]] of Object.entries(looks)) {
      const marks = chart.marks.filter((mark) => mark.kind === kind);
      if (!marks.length) continue;
      traces.push({
        type: "scatter", mode: "markers", x: marks.map((mark) => mark.x), y: marks.map((mark) => mark.y),
        text: marks.map((mark) => mark.text), hovertemplate: `%{x|%Y-%m-%d}  ${kind}: %{text}<extra></extra>`,
        marker: { symbol, size: 11, color: color(tone), line: { color: color(tone), width: 2 } },
      });
    }
    return Plotly.react(`chart-${number}`, traces, layout({
      shapes, annotations: notes, hovermode: "closest",
      xaxis: axis({ type: "date", showgrid: false, fixedrange: narrow.matches }),
      yaxis: axis({ type: "log", tickformat: "~r", fixedrange: true, ...levels(chart.y) }),
    }), options);
  }

  function draw() {
    Promise.all([drawCoverage(), ...data.charts.map(drawChart)]).then(() => { document.documentElement.dataset.drawn = "yes"; });
  }

  draw();
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
})();
