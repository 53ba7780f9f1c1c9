"""Operations on images, and seeds, that several rooms need."""
