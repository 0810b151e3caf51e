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
          ...(right && { right: axis(right, "right") }),
        },
      },
    }));
  }

  function drawTraining(reports) {
    // Where an epoch has several reports, steps tell them apart.
    const unit = new Set(reports.map(r => r.epoch)).size === reports.length ? "epoch" : "step";
    const points = (key, of = reports) => of.filter(r => r[key] !== null).map(r => ({ x: r[unit], y: r[key] }));
    const best = reports.filter(r => r.best).slice(-1);
    const mark = (key, name) => ({
      label: "best", data: points(key, best), yAxisID: "right", showLine: false, pointStyle: "rectRot",
      pointRadius: 7, borderColor: colour(name), backgroundColor: colour(name),
    });
    draw("training", [
      line("training loss", points("loss"), "left", "--second"),
      line("validation NDCG@10", points("validation_ndcg_10"), "right", "--accent"),
      line("validation HR@10", points("validation_hr_10"), "right", "--accent", true),
      mark("validation_ndcg_10", "--accent"),
    ], unit, "loss", "NDCG@10, HR@10");
    draw("learning-rate", [line("learning rate", points("learning_rate"), "left", "--accent")], unit, "learning rate");
  }

  function drawAll() {
    charts.splice(0).forEach(chart => chart.destroy());
    Chart.defaults.color = colour("--quiet");
    Chart.defaults.borderColor = colour("--line");
    Chart.defaults.font.family = "system-ui, sans-serif";
    drawTraining(data.training);
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
