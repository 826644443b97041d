export const eased = (progress) => 1 - (1 - progress) ** 3;
