"""Operations on images, and seeds, that several packages use."""
