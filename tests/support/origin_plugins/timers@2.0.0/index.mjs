// Everything that runs by itself: timers, frames of the display, dates, promises.
export function init(root) {
  const word = document.createElement('span');
  word.textContent = root.textContent;
  word.style.display = 'inline-block';
  root.replaceChildren(word);
  const began = performance.now();
  let hue = 0;
  setInterval(() => {
    hue += 40;
    word.style.color = `hsl(${hue}, 90%, 60%)`;
  }, 90);
  const swing = () => {
    const seconds = (performance.now() - began) / 1000;
    word.style.transform = `translateY(${(8 * Math.sin(9 * seconds)).toFixed(2)}px) rotate(${(Date.now() % 700) / 100}deg)`;
    requestAnimationFrame(swing);
  };
  requestAnimationFrame(swing);
  setTimeout(() => Promise.resolve().then(() => (word.style.textDecoration = 'underline')), 200);
}

export function animate() {
  return () => {};
}
