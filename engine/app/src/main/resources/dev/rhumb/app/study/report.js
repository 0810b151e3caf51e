"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function line(label, points, axis, name, dashed) {
    return {
      label, data: points, yAxisID: axis, borderColor: colour(name), backgroundColor: colour(name),
      borderDash: dashed ? [5, 4] : [], borderWidth: 2, pointRadius: dashed ? 0 : 3, tension: 0.2,
    };
  }

  function axis(title, position) {
    return {
      position, title: { display: true, text: title }, grid: { drawOnChartArea: position === "left" },
      beginAtZero: true,
    };
  }

  function draw(id, datasets, x, left, right) {
    const canvas = document.getElementById(id);
    if (!canvas) return;
    charts.push(new Chart(canvas, {
      type: "line",
      data: { datasets },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, parsing: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        plugins: { legend: { labels: { boxWidth: 18, boxHeight: 1 } } },
        scales: {
          x: { type: "linear", bounds: "data", title: { display: true, text: x }, grid: { display: false }, ticks: { precision: 0 } },
          left: axis(left, "left"),
          right: axis(right, "right"),
        },
      },
    }));
  }

  function drawAll() {
    charts.splice(0).forEach(chart => chart.destroy());
    Chart.defaults.color = colour("--quiet");
    Chart.defaults.borderColor = colour("--line");
    Chart.defaults.font.family = "system-ui, sans-serif";
    draw("training", [
      line("training loss", data.training.map(e => ({ x: e.epoch, y: e.loss })), "left", "--second"),
      line("validation NDCG@10", data.training.map(e => ({ x: e.epoch, y: e.ndcg })), "right", "--accent"),
    ], "epoch", "loss", "NDCG@10");
    data.curves.forEach((curve, i) => {
      const lines = [];
      for (const write of ["delta", "replace"]) {
        const points = curve.points.filter(p => p.write === write).sort((a, b) => a.strength - b.strength);
        if (points.length === 0) continue;
        const dashed = write === "replace";
        lines.push(line("share, " + write, points.map(p => ({ x: p.strength, y: p.outcome.share })), "left", "--accent", dashed));
        lines.push(line("NDCG, " + write, points.map(p => ({ x: p.strength, y: p.outcome.metrics.ndcg })), "right", "--second", dashed));
      }
      draw("curve-" + i, lines, "strength", "share of top 10", "NDCG@10");
    });
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
