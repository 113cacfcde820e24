"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");
  const palette = ["#2f8fd0", "#e08a1e", "#7b5ea7", "#2a9d8f", "#c0504d", "#8a8d91", "#b5a642", "#5b8def"];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dates = (series) => series.x;

  function axis(extra) {
    return Object.assign(
      { gridcolor: color("--rule"), linecolor: color("--rule"), zerolinecolor: color("--rule"), automargin: true }, extra);
  }

  function layout(extra) {
    return Object.assign({
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
      font: { family: "system-ui, sans-serif", size: 12, color: color("--soft") },
      hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--rule"), font: { color: color("--ink") } },
      margin: { l: 8, r: 8, t: 8, b: 8 }, dragmode: narrow.matches ? false : "zoom",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    }, extra);
  }

  // The equity at a fill is that of the last step at or before it.
  function equityAt(moment) {
    const { x, y } = data.equity;
    let low = 0, high = x.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (x[middle] <= moment) low = middle; else high = middle - 1;
    }
    return y[low];
  }

  function marks(side, symbol, tone) {
    const fills = data.fills.filter((fill) => fill.side === side);
    return {
      type: "scatter", mode: "markers", name: side === "BUY" ? "Buys" : "Sells",
      x: fills.map((fill) => fill.x), y: fills.map((fill) => equityAt(fill.x)), text: fills.map((fill) => fill.text),
      hovertemplate: "%{text}<extra></extra>", visible: "legendonly",
      marker: { symbol, size: 7, color: tone },
    };
  }

  function drawEquity() {
    const traces = [
      { type: "scatter", mode: "lines", name: "Equity", x: dates(data.equity), y: data.equity.y,
        line: { color: color("--accent"), width: 1.6 }, hovertemplate: "%{y:,.2f}" },
      { type: "scatter", mode: "lines", name: "Drawdown, %", x: dates(data.drawdown), y: data.drawdown.y, yaxis: "y2",
        line: { color: color("--bad"), width: 1 }, fill: "tozeroy", fillcolor: `rgba(${color("--bad-rgb")}, 0.18)`,
        hovertemplate: "%{y:.2f} %" },
    ];
    if (data.fills.length) {
      traces.push(marks("BUY", "triangle-up", color("--good")), marks("SELL", "triangle-down", color("--bad")));
    }
    return Plotly.react("equity", traces, layout({
      xaxis: axis({ type: "date", anchor: "y2", showgrid: false }),
      yaxis: axis({ domain: [0.34, 1], tickformat: "~s", nticks: 6 }),
      yaxis2: axis({ domain: [0, 0.28], ticksuffix: " %", nticks: 4 }),
    }), options);
  }

  function drawPositions() {
    const traces = [
      { type: "scatter", mode: "lines", name: "Gross exposure", x: dates(data.exposure), y: data.exposure.y,
        line: { color: color("--accent"), width: 0.7, shape: "hv" }, fill: "tozeroy",
        fillcolor: "rgba(90, 150, 220, 0.16)", hovertemplate: "%{y:,.2f}" },
    ];
    data.positions.forEach((series, number) => {
      const end = data.exposure.x[data.exposure.x.length - 1];
      traces.push({
        type: "scatter", mode: "lines", name: `${series.symbol}, units`, yaxis: "y2",
        x: series.x.concat(end), y: series.y.concat(series.y[series.y.length - 1]),
        line: { shape: "hv", width: 1.4, color: palette[number % palette.length] }, hovertemplate: "%{y:,}",
      });
    });
    return Plotly.react("positions", traces, layout({
      xaxis: axis({ type: "date", anchor: "y2", showgrid: false }),
      yaxis: axis({ domain: [0.55, 1], tickformat: "~s", nticks: 5, rangemode: "tozero" }),
      yaxis2: axis({ domain: [0, 0.45], nticks: 5, tickformat: "~s" }),
    }), options);
  }

  const options = { displaylogo: false, responsive: true, displayModeBar: false };

  function draw() {
    if (!document.getElementById("equity")) return;
    Promise.all([drawEquity(), drawPositions()]).then(() => { document.documentElement.dataset.drawn = "yes"; });
  }

  draw();
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
})();
