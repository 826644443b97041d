// As plugins of API 2.1 were written: one object as the default export.
export default {
  name: 'hop',
  version: '1.0.0',
  init(root) {
    const word = document.createElement('span');
    word.className = 'hop';
    word.textContent = root.textContent;
    word.style.display = 'inline-block';
    root.replaceChildren(word);
  },
  animate(root, options, context, duration) {
    const timeline = context.gsap.timeline({ paused: true });
    const word = root.querySelector('.hop');
    timeline.to(word, { y: -(options.height ?? 20), duration: duration / 2, ease: 'power2.out' });
    timeline.to(word, { y: 0, duration: duration / 2, ease: 'bounce.out' });
    return timeline;
  },
  cleanup(root) {
    root.textContent = root.textContent;
  },
};
