"""Operations that each platform computes in its own way: convolutions and BatchNorm."""
