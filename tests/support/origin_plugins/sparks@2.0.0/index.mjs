// Letters drift anywhere, by tweens that nobody seeks.
export function animate(root, params, { gsap }) {
  const letters = Array.from(root.textContent, (letter) => {
    const span = document.createElement('span');
    span.textContent = letter;
    span.style.display = 'inline-block';
    return span;
  });
  root.replaceChildren(...letters);
  for (const letter of letters) {
    gsap.to(letter, { x: gsap.utils.random(-12, 12), y: 20 * Math.random() - 10, duration: 0.35, repeat: -1, yoyo: true, ease: 'sine.inOut' });
    gsap.to(letter, { rotation: 'random(-40, 40)', duration: 0.25, repeat: -1, repeatRefresh: true });
  }
  gsap.delayedCall(0.4, () => (root.style.color = `hsl(${360 * Math.random()}, 90%, 60%)`));
  return (progress) => void (root.style.opacity = 0.5 + progress / 2);
}
